"""The HTTP parser: every kind of body, in pieces of every size, and what it refuses."""

from __future__ import annotations

import contextlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corten.client.http1 import Malformed, ResponseParser, chunk, request_head

CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nTrailer: 1\r\n\r\n"
)
COUNTED = b"HTTP/1.1 404 Not Found\r\ncontent-length: 11\r\nA: b\r\n\r\nhello world"


def parse(data: bytes, cuts: list[int] | None = None, method: str = "GET", hijack: bool = False) -> ResponseParser:
    parser = ResponseParser(method, hijack=hijack)
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts or [])})
    for start, end in itertools.pairwise(edges):
        parser.feed(data[start:end])
    return parser


@pytest.mark.parametrize("data", [CHUNKED, COUNTED])
def test_one_byte_at_a_time(data: bytes) -> None:
    parser = parse(data, list(range(len(data))))
    assert b"".join(parser.take()) == b"hello world"
    assert parser.is_done and parser.reusable


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.lists(st.integers(0, 10_000), max_size=20))
def test_chunks_survive_any_cut(pieces: list[bytes], cuts: list[int]) -> None:
    body = b"".join(chunk(piece) for piece in [*pieces, b""])
    parser = parse(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + body, cuts)
    assert b"".join(parser.take()) == b"".join(pieces)
    assert parser.is_done


@given(st.binary(max_size=300))
def test_rubbish_is_refused_or_waited_for(data: bytes) -> None:
    parser = ResponseParser("GET")
    with contextlib.suppress(Malformed):
        parser.feed(data)
        parser.end()


def test_head_and_no_content_have_no_body() -> None:
    assert parse(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", method="HEAD").is_done
    assert parse(b"HTTP/1.1 204 No Content\r\n\r\n").is_done
    assert parse(b"HTTP/1.1 304 Not Modified\r\n\r\n").is_done


def test_interim_answers_are_passed_over() -> None:
    parser = parse(b"HTTP/1.1 100 Continue\r\n\r\n" + COUNTED)
    assert parser.head is not None and parser.head.status == 404


def test_body_up_to_the_end() -> None:
    parser = parse(b"HTTP/1.0 200 OK\r\n\r\nabc")
    assert not parser.is_done
    parser.end()
    assert b"".join(parser.take()) == b"abc" and parser.is_done


def test_tunnels() -> None:
    upgraded = parse(b"HTTP/1.1 101 UPGRADED\r\nUpgrade: tcp\r\n\r\nearly")
    assert upgraded.is_tunnel and upgraded.take() == [b"early"]
    assert parse(b"HTTP/1.1 200 OK\r\n\r\nx", hijack=True).is_tunnel


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n+5\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1_0\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"1" * 10_000,
        b"HTTP/1.1 200 " + b"x" * 300_000,
    ],
)
def test_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        parse(data)


def test_cut_short() -> None:
    parser = parse(COUNTED[:-1])
    with pytest.raises(Malformed, match="unexpected EOF"):
        parser.end()


def test_a_header_cannot_be_smuggled() -> None:
    with pytest.raises(Malformed):
        request_head("GET", "/", {"X": "a\r\nEvil: 1"})
