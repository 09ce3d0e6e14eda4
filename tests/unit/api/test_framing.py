"""The 8-byte stream, fed whole and in pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corten.api.framing import Decoder, Frame, encode
from corten.errors import Invalid

_frames = st.lists(st.builds(Frame, st.integers(0, 2), st.binary(max_size=40)), max_size=8)


@given(_frames, st.integers(1, 13))
def test_any_pieces_give_the_same_frames(frames: list[Frame], step: int) -> None:
    data = b"".join(encode(frame.stream, frame.data) for frame in frames)
    decoder = Decoder()
    found = [frame for start in range(0, len(data), step) for frame in decoder.feed(data[start : start + step])]
    assert found == frames
    assert decoder.is_empty


def test_half_a_frame_waits() -> None:
    decoder = Decoder()
    assert decoder.feed(encode(1, b"hello")[:-1]) == []
    assert not decoder.is_empty


def test_what_is_no_header() -> None:
    with pytest.raises(Invalid, match="unrecognized stream: 104"):
        Decoder().feed(b"hello world")
