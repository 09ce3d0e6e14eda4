"""The protobuf codec: known bytes, round trips, and hostile input."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corten.buildkit.messages.control import Exporter, SolveRequest, StatusResponse, Vertex
from corten.buildkit.messages.gateway import Ref, Result, SolveResponse
from corten.buildkit.messages.session import DATA, STAT, Packet, Stat
from corten.buildkit.messages.shared import Names, Timestamp
from corten.buildkit.wire import Message, read_varint, varint
from corten.errors import Invalid

# Written by Go's protobuf: fsutil.types.Packet{Type: DATA, ID: 300, Data: "hi"}.
PACKET = bytes.fromhex("0802" + "18ac02" + "22026869")


def test_known_bytes() -> None:
    packet = Packet(DATA, id=300, data=b"hi")
    assert packet.to_bytes() == PACKET
    assert Packet.parse(PACKET) == packet


def test_defaults_are_not_written() -> None:
    assert Packet().to_bytes() == b""
    assert Packet.parse(b"") == Packet(STAT)


def test_an_empty_nested_message_is_something() -> None:
    assert SolveResponse("", Result(ref=Ref())).to_bytes() == b"\x1a\x02\x1a\x00"
    assert SolveResponse.parse(b"\x1a\x02\x1a\x00").result == Result(ref=Ref())


@pytest.mark.parametrize("value", [0, 1, 127, 128, 300, 2**31, 2**63 - 1, -1, -(2**63)])
def test_integers(value: int) -> None:
    assert Stat.parse(Stat(mod_time=value).to_bytes()).mod_time == value


def test_unknown_fields_are_skipped() -> None:
    extra = varint(15 << 3 | 0) + varint(5) + varint(14 << 3 | 2) + b"\x01x" + varint(13 << 3 | 1) + bytes(8)
    extra += varint(12 << 3 | 5) + bytes(4)
    assert Packet.parse(extra + PACKET + extra) == Packet.parse(PACKET)


def test_the_last_of_a_single_field_counts_and_maps_fill() -> None:
    data = Names(["a", "b"]).to_bytes()
    assert Names.parse(data + Names(["c"]).to_bytes()).names == ["a", "b", "c"]
    request = SolveRequest(frontend_attrs={"a": "1", "": "", "é": "ü"})
    assert SolveRequest.parse(request.to_bytes()).frontend_attrs == request.frontend_attrs


def test_older_clients_name_one_exporter() -> None:
    request = SolveRequest(exporter_deprecated="moby", exporter_attrs_deprecated={"name": "x"})
    assert SolveRequest.parse(request.to_bytes()).all_exporters() == [Exporter("moby", {"name": "x"})]
    assert SolveRequest().all_exporters() == []


@pytest.mark.parametrize(
    "data",
    [b"\xff" * 11, b"\x12\x05abc", b"\x0b", b"\x10\x01", b"\x09\x00", b"\x12\xff\xff\xff\xff\x0f"],
    ids=["varint", "short", "group", "type", "fixed", "huge"],
)
def test_malformed(data: bytes) -> None:
    with pytest.raises(Invalid):
        Packet.parse(data)


@given(st.binary(max_size=200))
def test_any_bytes_parse_or_are_refused(data: bytes) -> None:
    for message in (Packet, SolveRequest, StatusResponse):
        try:
            found: Message = message.parse(data)
        except Invalid:
            continue
        assert message.parse(found.to_bytes()) == found


@given(
    st.builds(
        Vertex,
        digest=st.text(),
        inputs=st.lists(st.text()),
        name=st.text(),
        cached=st.booleans(),
        started=st.none() | st.builds(Timestamp, st.integers(0, 2**40), st.integers(0, 10**9)),
    )
)
def test_round_trip(vertex: Vertex) -> None:
    assert Vertex.parse(vertex.to_bytes()) == vertex


@given(st.integers(-(2**63), 2**64 - 1))
def test_varints(value: int) -> None:
    data = varint(value)
    assert read_varint(memoryview(data), 0) == (value % 2**64, len(data))
