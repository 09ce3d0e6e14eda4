"""Progress of pull, push, load and build: on a terminal lines that are drawn again, on a pipe one line each.

Owns: what each message looks like and which lines move.  The messages are those of api/progress.py.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable
from typing import Any, TextIO

from corten.cli.output import sizes
from corten.errors import Internal, Invalid

Message = dict[str, Any]
BAR = 50


def follow(
    messages: Iterable[Message],
    out: TextIO | None,
    on_aux: Callable[[Message], object] | None = None,
) -> None:
    """Show messages as they come; raises Invalid with the words of one that tells an error."""
    display: Display | None = None
    if out is not None:
        display = Terminal(out) if out.isatty() else Plain(out)
    for message in messages:
        if "error" in message or "errorDetail" in message:
            detail = message.get("errorDetail") or {}
            text = str(detail.get("message") or message.get("error") or "unknown error")
            raise StepFailed(text, int(detail.get("code") or 0))
        if message.get("aux") is not None:
            if on_aux is not None:
                on_aux(message)
        elif display is not None:
            display.show(message)


class StepFailed(Invalid):
    """The daemon began, and then could not go on."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class Display:
    """Where messages are shown."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def show(self, message: Message) -> None:
        """Show one."""
        raise Internal("a display shows nothing of its own")


class Plain(Display):
    """A line for each message that is not a bar."""

    def show(self, message: Message) -> None:
        """Write it, unless it only moves a bar."""
        if "stream" in message:
            self._out.write(str(message["stream"]))
        elif not has_bar(message):
            self._out.write(line(message, 0) + "\n")
        self._out.flush()


class Terminal(Display):
    """A line for each id, drawn again in its place; other messages below."""

    def __init__(self, out: TextIO) -> None:
        super().__init__(out)
        self._rows: dict[str, int] = {}
        self._began: dict[str, tuple[str, float]] = {}

    def show(self, message: Message) -> None:
        """Draw it."""
        columns = shutil.get_terminal_size((80, 24)).columns
        name = str(message.get("id") or "")
        if name and "progressDetail" in message:
            self._draw(name, line(message, columns, self._elapsed(name, message)), columns)
        else:
            # Lines above belong to what is over.
            self._rows.clear()
            self._out.write(str(message["stream"]) if "stream" in message else line(message, columns) + "\n")
        self._out.flush()

    def _draw(self, name: str, text: str, columns: int) -> None:
        if name not in self._rows:
            self._rows[name] = len(self._rows)
            self._out.write("\n")
        up = len(self._rows) - self._rows[name]
        # The cursor rests below the block; a line longer than the terminal would break the count.
        self._out.write(f"\x1b[{up}A\x1b[2K\r{text[: columns - 1]}\r\x1b[{up}B")

    def _elapsed(self, name: str, message: Message) -> float:
        status = str(message.get("status"))
        if self._began.get(name, ("", 0.0))[0] != status:
            self._began[name] = (status, time.monotonic())
        return time.monotonic() - self._began[name][1]


def has_bar(message: Message) -> bool:
    """Does it carry numbers?"""
    detail = message.get("progressDetail") or {}
    return bool(detail.get("current") or detail.get("total"))


def line(message: Message, columns: int, elapsed: float = 0.0) -> str:
    """A message as text."""
    name = f"{message['id']}: " if message.get("id") else ""
    source = f"(from {message['from']}) " if message.get("from") else ""
    text = f"{name}{source}{message.get('status', '')}"
    return f"{text} {bar(message['progressDetail'], columns, elapsed)}".rstrip() if has_bar(message) else text


def bar(detail: Message, columns: int, elapsed: float = 0.0) -> str:
    """``[====>    ]  1.2MB/3.4MB  2s``; without the drawing where there is little room."""
    current, total = int(detail.get("current") or 0), int(detail.get("total") or 0)
    if detail.get("units"):
        return f"{current}/{total} {detail['units']}" if total else f"{current} {detail['units']}"
    if total <= 0:
        return f"{sizes.human(current, 4):>8}"
    current = min(current, total)
    numbers = f"{sizes.human(current, 4):>8}/{sizes.human(total, 4)}"
    if columns > 110:
        done = current * BAR // total
        numbers = f"[{'=' * done}>{' ' * (BAR - done)}] {numbers}"
    if columns > 50 and 0 < current < total and elapsed > 1:
        left = int(elapsed * (total - current) / current)
        numbers += f"  {left // 60}m{left % 60}s" if left >= 60 else f"  {left}s"
    return numbers
