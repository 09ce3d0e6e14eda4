"""References: Docker's defaults, the familiar form, what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corten.errors import Invalid
from corten.spec.digest import Digest
from corten.spec.reference import Reference

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "canonical", "familiar", "name"),
    [
        ("busybox", "docker.io/library/busybox:latest", "busybox:latest", "busybox"),
        ("busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36", "busybox"),
        ("docker.io/busybox", "docker.io/library/busybox:latest", "busybox:latest", "busybox"),
        ("index.docker.io/foo/bar", "docker.io/foo/bar:latest", "foo/bar:latest", "foo/bar"),
        ("localhost/x", "localhost/x:latest", "localhost/x:latest", "localhost/x"),
        ("localhost:5000/x/y:t", "localhost:5000/x/y:t", "localhost:5000/x/y:t", "localhost:5000/x/y"),
        ("foo.com/b:1", "foo.com/b:1", "foo.com/b:1", "foo.com/b"),
        ("[::1]:5000/x", "[::1]:5000/x:latest", "[::1]:5000/x:latest", "[::1]:5000/x"),
        (f"n@{DIGEST}", f"docker.io/library/n@{DIGEST}", f"n@{DIGEST}", "n"),
        (f"n:t@{DIGEST}", f"docker.io/library/n:t@{DIGEST}", f"n:t@{DIGEST}", "n"),
        ("a__b/c--d.e_f", "docker.io/a__b/c--d.e_f:latest", "a__b/c--d.e_f:latest", "a__b/c--d.e_f"),
    ],
)
def test_parses_as_docker_does(text: str, canonical: str, familiar: str, name: str) -> None:
    reference = Reference.parse(text)
    assert str(reference) == canonical
    assert reference.familiar() == familiar
    assert reference.familiar_name == name
    assert Reference.parse(str(reference)) == reference
    assert Reference.parse(familiar) == reference


@pytest.mark.parametrize(
    "text",
    ["", " ", "a:", "a/", "/a", "-a", "a:b:c", "a@b", "a\n", "a b", "a..b", "a___b", ":5000/x", "a:" + "t" * 129, "é"],
)
def test_refuses(text: str) -> None:
    with pytest.raises(Invalid, match="invalid reference format"):
        Reference.parse(text)


def test_names_the_reason_where_docker_does() -> None:
    with pytest.raises(Invalid, match="must be lowercase"):
        Reference.parse("Busybox")
    with pytest.raises(Invalid, match="cannot specify 64-byte hexadecimal strings"):
        Reference.parse("a" * 64)
    with pytest.raises(Invalid, match="must not be more than 255 characters"):
        Reference.parse("x/" + "a" * 255)


@given(st.text(max_size=80))
def test_text_is_a_reference_or_invalid(text: str) -> None:
    try:
        reference = Reference.parse(text)
    except Invalid:
        return
    assert Reference.parse(str(reference)) == reference
    assert Reference.parse(reference.familiar()) == reference


@given(
    st.from_regex(r"\A[a-z0-9]{1,8}\.[a-z]{2,3}(:[0-9]{1,5})?\Z"),
    st.from_regex(r"\A[a-z0-9]{1,9}(/[a-z0-9]{1,9}([._-][a-z0-9]{1,5})?){0,3}\Z"),
    st.none() | st.from_regex(r"\A\w[\w.-]{0,20}\Z", alphabet=st.characters(codec="ascii")),
    st.none() | st.binary(max_size=9).map(Digest.of),
)
def test_prints_back(registry: str, repository: str, tag: str | None, digest: Digest | None) -> None:
    reference = Reference(registry, repository, tag, digest)
    assert Reference.parse(str(reference), default_tag=None) == reference


def test_changes_make_copies() -> None:
    reference = Reference.parse(f"n:t@{DIGEST}")
    assert reference.with_tag("x").familiar() == "n:x"
    assert reference.with_digest(Digest.parse(DIGEST)).familiar() == f"n@{DIGEST}"
