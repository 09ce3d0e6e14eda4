"""Names in docker's order."""

from __future__ import annotations

from corten.cli.output.order import natural


def test_numbers_count_by_their_value() -> None:
    assert sorted(["57ce", "8ea", "cdb", "a10", "a9", "a-1", ""], key=natural) == [
        "", "8ea", "57ce", "a-1", "a9", "a10", "cdb",
    ]  # fmt: skip
