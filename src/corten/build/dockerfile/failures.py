"""Failures of a Dockerfile, which keep where they happened so that the user sees the lines.

Read next: parser.py, which raises most of them.
"""

from __future__ import annotations

from dataclasses import dataclass

from corten.errors import Invalid

CONTEXT_LINES = 4
"""How many lines of the file are shown around the faulty ones."""


@dataclass(frozen=True, slots=True)
class Location:
    """Lines of the Dockerfile, counted from 1, both included."""

    start: int
    end: int


class DockerfileError(Invalid):
    """The Dockerfile is wrong at ``location``."""

    def __init__(self, message: str, location: Location | None = None, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.location = location

    def show_in(self, text: str, name: str = "Dockerfile") -> None:
        """Take the lines of the file as the hint."""
        if self.location is not None and not self.hint:
            self.hint = excerpt(text, self.location, name)


def excerpt(text: str, location: Location, name: str = "Dockerfile") -> str:
    """The lines around ``location``, the faulty ones marked, as BuildKit prints them."""
    lines = text.split("\n")
    if lines and lines[-1] == "":
        lines.pop()
    end = min(location.end, len(lines))
    start = max(1, min(location.start, end))
    room = max(0, CONTEXT_LINES - (end - start + 1)) // 2 + 1
    first, last = max(1, start - room), min(len(lines), end + room)
    rule = "-" * 20
    shown = [f"{name}:{start}", rule]
    for number in range(first, last + 1):
        mark = ">>>" if start <= number <= end else "   "
        shown.append(f"{number:4d} | {mark} {lines[number - 1].rstrip()}")
    shown.append(rule)
    return "\n".join(shown)
