"""Findings of Docker's build checks, as buildx shows them.  Pure."""

from __future__ import annotations

from typing import Any

CONTEXT_LINES = 4


def report(body: dict[str, Any]) -> list[str]:
    """All of ``--check``: each finding with its lines of the file."""
    found = body["findings"]
    if not found:
        return ["Check complete, no warnings found."]
    count = "1 warning has" if len(found) == 1 else f"{len(found)} warnings have"
    lines = [f"Check complete, {count} been found!"]
    for each in found:
        lines += ["", f"WARNING: {each['rule']} - {each['url']}", each["description"], each["message"]]
        lines += excerpt(body["source"], body["file"], int(each["start"]), int(each["end"]))
    return lines


def summary(body: dict[str, Any]) -> list[str]:
    """What is told at the end of a build."""
    found = body["findings"]
    if not found:
        return []
    count = "1 warning" if len(found) == 1 else f"{len(found)} warnings"
    lines = ["", f" {count} found (use corten build --check to expand):"]
    return lines + [f" - {each['rule']}: {each['message']} (line {each['start']})" for each in found]


def excerpt(source: str, name: str, start: int, end: int) -> list[str]:
    """The lines around, the faulty ones marked."""
    lines = source.rstrip("\n").split("\n")
    end = min(end, len(lines))
    start = max(1, min(start, end))
    room = max(0, CONTEXT_LINES - (end - start + 1)) // 2 + 1
    shown = [f"{name}:{start}", "-" * 20]
    for number in range(max(1, start - room), min(len(lines), end + room) + 1):
        mark = ">>>" if start <= number <= end else "   "
        shown.append(f"{number:4d} | {mark} {lines[number - 1].rstrip()}")
    return [*shown, "-" * 20]
