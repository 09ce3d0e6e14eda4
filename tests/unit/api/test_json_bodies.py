"""What a hostile client may put into JSON, and what is made of it."""

from __future__ import annotations

from typing import Any

import pytest

from corten.api.types import fields, parts
from corten.api.types.fields import NUMBER, Field
from corten.engine.containers.mounts import parse_mount
from corten.engine.containers.networking import read_settings
from corten.errors import Invalid
from corten.server import jsonbody


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b'{"a": 9223372036854775807}', {"a": (1 << 63) - 1}),
        (b'{"a": "12345678901234567890123"}', {"a": "12345678901234567890123"}),
        (b'{"a": "NaN", "b": 1e3}', {"a": "NaN", "b": 1000.0}),
        (rb'{"a": "\ud83d\ude00"}', {"a": "\U0001f600"}),
        (rb'{"a\ud800": ["\udfff"]}', {"a\ufffd": ["\ufffd"]}),
    ],
)
def test_values(raw: bytes, value: object) -> None:
    assert jsonbody.parse(raw) == value


@pytest.mark.parametrize(
    "raw",
    [
        *(b"{", b"\xff", b"[" * 100_000, b"9" * 21, b"-9223372036854775809", b"9" * 10_000),
        *(b"NaN", b'{"a": [-Infinity]}', b"1e400", b"9" * 400 + b".5"),
    ],
)
def test_refusals(raw: bytes) -> None:
    with pytest.raises(Invalid, match="invalid JSON"):
        jsonbody.parse(raw)


def test_numbers_of_64_bits() -> None:
    table = {"N": Field(NUMBER, 0)}
    assert fields.read({"n": -(1 << 63)}, table, "S") == {"N": -(1 << 63)}
    with pytest.raises(Invalid, match="cannot unmarshal number into Go struct field S"):
        fields.read({"N": 1 << 63}, table, "S")


WRONG: list[Any] = [1, True, "x", ["x"], [{}]]


@pytest.mark.parametrize("value", WRONG)
def test_endpoints_of_a_wrong_kind(value: Any) -> None:
    with pytest.raises(Invalid, match="cannot unmarshal"):
        read_settings(value)
    for name in parts.ENDPOINT:
        if not parts.ENDPOINT[name].kind.holds(value):
            with pytest.raises(Invalid, match=f"EndpointSettings.{name}"):
                read_settings({name: value})
    assert read_settings(None) == {}


@pytest.mark.parametrize("value", WRONG)
def test_mounts_of_a_wrong_kind(value: Any) -> None:
    mount = {"Type": "volume", "Source": "v", "Target": "/t"}
    for body in ({"VolumeOptions": value}, {"VolumeOptions": {"DriverConfig": value}}, {"TmpfsOptions": value}):
        with pytest.raises(Invalid, match="cannot unmarshal"):
            parse_mount(mount | body)
