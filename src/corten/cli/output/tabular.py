"""Columns aligned with spaces: what Go's tabwriter makes of tab-separated lines with Docker's settings.

A column is a block of neighbouring lines that have it; its width is that of its widest cell plus three, ten at least.
The last cell of a line belongs to no column and is not padded.
"""

from __future__ import annotations

LEAST = 10
PADDING = 3


def align(lines: list[str], least: int = LEAST, padding: int = PADDING) -> list[str]:
    """The lines with their tabs turned into spaces."""
    rows = [line.split("\t") for line in lines]
    out = ["" for _ in rows]
    column = 0
    while any(len(cells) > column for cells in rows):
        at = 0
        while at < len(rows):
            end = at
            while end < len(rows) and len(rows[end]) > column + 1:
                end += 1
            if end == at:
                if len(rows[at]) == column + 1:
                    out[at] += rows[at][column]
                at += 1
                continue
            block = range(at, end)
            width = max(least, padding + max(len(rows[line][column]) for line in block))
            for line in block:
                out[line] += rows[line][column].ljust(width)
            at = end
        column += 1
    return out
