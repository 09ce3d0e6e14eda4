"""The words of the distribution specification: parse and print are inverse; hostile text raises nothing else."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corten.errors import Invalid
from corten.spec.digest import Digest
from corten.spec.distribution import (
    ByteRange,
    Challenge,
    Endpoint,
    ErrorCode,
    ErrorDetail,
    Kind,
    Scope,
    is_name,
    is_tag,
    next_link,
    parse_challenges,
    parse_errors,
    print_errors,
    referrers_tag,
)

names = st.from_regex(r"[a-z0-9]+(?:[._-][a-z0-9]+)?(?:/[a-z0-9]+){0,3}", fullmatch=True)


def test_error_codes_are_distinct() -> None:
    assert len(set(ErrorCode)) == len(ErrorCode.__members__)


@given(names, st.sampled_from(list(Kind)))
def test_endpoint_prints_what_it_parsed(name: str, kind: Kind) -> None:
    argument = {"manifests": "latest", "blobs": "sha256:ab", "upload": "123", "referrers": "sha256:cd"}.get(
        kind.value, ""
    )
    endpoint = Endpoint(kind, "" if kind in (Kind.BASE, Kind.CATALOG, Kind.SEARCH) else name, argument)
    assert Endpoint.parse(str(endpoint)) == endpoint


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v2/a/b/manifests/v1", Endpoint(Kind.MANIFEST, "a/b", "v1")),
        ("/v2/manifests/manifests/manifests", Endpoint(Kind.MANIFEST, "manifests", "manifests")),
        ("/v2/a/blobs/uploads/", Endpoint(Kind.UPLOADS, "a")),
        ("/v2/a/blobs/uploads", Endpoint(Kind.UPLOADS, "a")),
        ("/v2/blobs/uploads/blobs/uploads/7", Endpoint(Kind.UPLOAD, "blobs/uploads", "7")),
        ("/v2/a/tags/list", Endpoint(Kind.TAGS, "a")),
        ("/v2/a/tags/other", None),
        ("/v2/manifests/v1", None),
        ("/v2/a", None),
        ("/v3/a/manifests/b", None),
    ],
)
def test_endpoint(path: str, expected: Endpoint | None) -> None:
    assert Endpoint.parse(path) == expected


@given(st.text())
def test_endpoint_survives_anything(path: str) -> None:
    Endpoint.parse(path)
    Endpoint.parse("/v2/" + path)


@pytest.mark.parametrize("name", ["a", "a/b", "a-b", "a__b", "a.b", "a---b", "library/busybox", "0/1"])
def test_names(name: str) -> None:
    assert is_name(name)


@pytest.mark.parametrize(
    "name", ["", "A", "a/", "/a", "a//b", "a___b", "a..b", "-a", "a-", "_a", "a b", "a\n", "x" * 256]
)
def test_bad_names(name: str) -> None:
    assert not is_name(name)


def test_tags() -> None:
    assert is_tag("v1.0-rc_1")
    assert is_tag("_")
    assert not any(map(is_tag, ["", "-a", ".a", "a" * 129, "a/b", "a:b", "a\n"]))


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('Basic realm="x"', [Challenge("Basic", {"realm": "x"})]),
        (
            'Bearer realm="https://auth/token",service="reg",scope="repository:a/b:pull"',
            [Challenge("Bearer", {"realm": "https://auth/token", "service": "reg", "scope": "repository:a/b:pull"})],
        ),
        ('Basic realm="a, b", Bearer realm=c , service="d"', [
            Challenge("Basic", {"realm": "a, b"}), Challenge("Bearer", {"realm": "c", "service": "d"}),
        ]),
        (r'Basic realm="a \"quoted\" word"', [Challenge("Basic", {"realm": 'a "quoted" word'})]),
        ("Negotiate", [Challenge("Negotiate")]),
        ("Negotiate, Basic realm=x", [Challenge("Negotiate"), Challenge("Basic", {"realm": "x"})]),
        ("", []),
    ],
)  # fmt: skip
def test_challenges(header: str, expected: list[Challenge]) -> None:
    assert list(parse_challenges(header)) == expected


@given(st.dictionaries(st.sampled_from(["realm", "service", "scope"]), st.text(st.characters(codec="ascii"))))
def test_challenge_prints_what_it_parsed(parameters: dict[str, str]) -> None:
    challenge = Challenge("Bearer", parameters)
    assert parse_challenges(str(challenge)) == (challenge,)


@given(st.text(alphabet='Bearr ,="\\x;'))
def test_challenges_survive_anything(header: str) -> None:
    parse_challenges(header)


@given(names, st.sets(st.sampled_from(["pull", "push", "delete"]), min_size=1))
def test_scope_prints_what_it_parsed(name: str, actions: set[str]) -> None:
    scope = Scope("repository", name, frozenset(actions))
    assert Scope.parse(str(scope)) == scope


def test_scopes() -> None:
    with_port = Scope.parse("repository:host:5000/name:pull")
    assert (with_port.name, with_port.actions) == ("host:5000/name", {"pull"})
    assert Scope.parse("repository:a:pull,push").covers(Scope.parse("repository:a:pull"))
    assert not Scope.parse("repository:a:pull").covers(Scope.parse("repository:b:pull"))
    for bad in ("", "repository", "repository:a", ":a:pull"):
        with pytest.raises(Invalid):
            Scope.parse(bad)


@pytest.mark.parametrize(
    ("header", "span"),
    [("bytes=0-9", (0, 9)), ("bytes=5-", (5, 99)), ("bytes=-10", (90, 99)), ("bytes=90-500", (90, 99)),
     ("bytes=-500", (0, 99)), ("items=0-9", None), ("bytes=0-1,5-6", None), ("bytes=9-1", None), ("bytes=-", None)],
)  # fmt: skip
def test_requested_range(header: str, span: tuple[int, int] | None) -> None:
    assert ByteRange.parse_request(header, 100) == (ByteRange(*span) if span else None)


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=200-300", "bytes=-0"])
def test_requested_range_that_cannot_be_met(header: str) -> None:
    with pytest.raises(Invalid):
        ByteRange.parse_request(header, 100)


@given(st.text(alphabet="bytes=-0123456789,/* "), st.integers(0, 10**12))
def test_ranges_survive_anything(text: str, total: int) -> None:
    for parse in (ByteRange.parse_chunk, ByteRange.parse_response, lambda t: ByteRange.parse_request(t, total)):
        with contextlib.suppress(Invalid):
            parse(text)  # type: ignore[operator]


@given(st.integers(0, 10**15), st.integers(0, 10**15))
def test_chunk_range_prints_what_it_parsed(first: int, size: int) -> None:
    span = ByteRange(first, first + size)
    assert ByteRange.parse_chunk(str(span)) == span
    assert ByteRange.parse_response(f"bytes {span}/*") == (span, None)


def test_errors() -> None:
    errors = (ErrorDetail("MANIFEST_UNKNOWN", "manifest unknown", {"Tag": "x"}), ErrorDetail("DENIED"))
    assert parse_errors(print_errors(errors)) == errors
    assert str(errors[0]) == "manifest unknown: manifest unknown"
    assert str(errors[1]) == "denied"
    assert parse_errors(b'{"details": "incorrect username or password"}')[0].message == "incorrect username or password"
    for body in (b"", b"<html>", b"[]", b"{}", b'{"errors": [1]}', b"[" * 100_000):
        assert parse_errors(body) == ()


def test_links() -> None:
    assert next_link('</v2/a/tags/list?n=2&last=b>; rel="next"') == "/v2/a/tags/list?n=2&last=b"
    assert next_link("<first>; rel=first, <second>; rel=next") == "second"
    assert next_link('<x>; rel="prev"') is None
    assert next_link(None) is None


def test_referrers_tag() -> None:
    assert referrers_tag(Digest("sha256", "a" * 64)) == "sha256-" + "a" * 64
    assert referrers_tag(Digest("sha512", "b" * 128)) == "sha512-" + "b" * 64
