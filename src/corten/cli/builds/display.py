"""Progress of a build as BuildKit shows it: plain on a pipe, a list that is drawn again on a terminal.

Owns: what each event of a step looks like (api/steps.py has the events).  Lines of the classic stream, which daemons
that know no steps send, are shown as they are.
"""

from __future__ import annotations

import shutil
import threading
import time
from typing import Any, TextIO

from corten.cli.output import sizes

LOG_LINES = 6
INTERVAL = 0.1


class Step:
    """One step as far as it is known."""

    def __init__(self, number: int, name: str, began: float) -> None:
        self.number = number
        self.name = name
        self.began = began
        self.ended: float | None = None
        self.is_cached = False
        self.error = ""
        self.lines: list[tuple[float, str]] = []
        self.rest = ""
        self.bars: dict[str, tuple[str, int, int]] = {}

    def log(self, at: float, text: str) -> list[str]:
        """The lines that are complete now."""
        *whole, self.rest = (self.rest + text).split("\n")
        whole = [line.rstrip("\r").rpartition("\r")[2] for line in whole]
        self.lines += [(at - self.began, line) for line in whole]
        return whole

    def end(self, at: float, error: str) -> list[str]:
        """Its end; what was left of a line."""
        self.ended, self.error = at, error
        rest, self.rest = self.rest, ""
        return self.log(at, rest + "\n") if rest else []


class Display:
    """Keeps the steps; subclasses show them.  Use it as a context: leaving ends what is shown."""

    def __init__(self, out: TextIO) -> None:
        self.out = out
        self.steps: dict[Any, Step] = {}
        self.clock = time.monotonic()

    def __enter__(self) -> Display:
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()

    def now(self) -> float:
        return time.monotonic() - self.clock

    def event(self, key: Any, at: float, what: str, body: dict[str, Any]) -> None:
        """Something happened to a step."""
        if what == "begin":
            self.steps[key] = Step(len(self.steps) + 1, str(body.get("name", "")), at)
            self.began(self.steps[key])
            return
        step = self.steps.get(key)
        if step is None:
            return
        if what == "cached":
            step.is_cached = True
        elif what == "log":
            for line in step.log(at, str(body.get("text", ""))):
                self.said(step, at, line)
        elif what == "bar":
            bar = (str(body.get("status", "")), int(body.get("current") or 0), int(body.get("total") or 0))
            known, step.bars[str(body.get("id", ""))] = step.bars.get(str(body.get("id", ""))), bar
            if known is None or known[0] != bar[0]:
                self.moved(step, at, str(body.get("id", "")), bar[0])
        elif what == "done":
            for line in step.end(at, str(body.get("error") or "")):
                self.said(step, at, line)
            self.ended(step)

    def own(self, name: str, *lines: str) -> None:
        """A step of the client's own, over at once."""
        at = self.now()
        self.event(name, at, "begin", {"name": name})
        for line in lines:
            self.event(name, at, "log", {"text": f"{line}\n"})
        self.event(name, at, "done", {})

    def failed(self) -> Step | None:
        """The step that failed, if one did; a cache that cannot be had comes before it and fails nothing."""
        return next((step for step in reversed(self.steps.values()) if step.error), None)

    def began(self, step: Step) -> None:
        """A step began."""

    def said(self, step: Step, at: float, line: str) -> None:
        """Its process wrote a line."""

    def moved(self, step: Step, at: float, id: str, status: str) -> None:
        """A pull came to another stage."""

    def ended(self, step: Step) -> None:
        """A step is over."""

    def finish(self) -> None:
        """The build is over."""


class Plain(Display):
    """Lines that begin with the number of their step."""

    def __init__(self, out: TextIO) -> None:
        super().__init__(out)
        self._current: Step | None = None

    def _line(self, step: Step, text: str) -> None:
        if self._current is not step:
            if self._current is not None and self._current.ended is None:
                self.out.write(f"#{self._current.number} ...\n\n")
            self.out.write(f"#{step.number} {step.name}\n")
            self._current = step
        if text:
            self.out.write(f"#{step.number} {text}\n")
        self.out.flush()

    def began(self, step: Step) -> None:
        self._line(step, "")

    def said(self, step: Step, at: float, line: str) -> None:
        self._line(step, f"{at - step.began:.3f} {line}")

    def moved(self, step: Step, at: float, id: str, status: str) -> None:
        self._line(step, f"{id} {status}".strip())

    def ended(self, step: Step) -> None:
        assert step.ended is not None
        if step.error:
            self._line(step, f"ERROR: {step.error}")
        elif step.is_cached:
            self._line(step, "CACHED")
        else:
            self._line(step, f"DONE {step.ended - step.began:.1f}s")
        self.out.write("\n")
        self.out.flush()


class Terminal(Display):
    """The list, drawn again in its place; a thread keeps the clocks going."""

    def __init__(self, out: TextIO) -> None:
        super().__init__(out)
        self._drawn = 0
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._ticker = threading.Thread(target=self._tick, daemon=True)
        self._ticker.start()

    def event(self, key: Any, at: float, what: str, body: dict[str, Any]) -> None:
        with self._lock:
            super().event(key, at, what, body)

    def _tick(self) -> None:
        while not self._over.wait(INTERVAL):
            with self._lock:
                self._draw(is_over=False)

    def finish(self) -> None:
        if self._over.is_set():
            return
        self._over.set()
        self._ticker.join()
        with self._lock:
            self._draw(is_over=True)

    def _draw(self, *, is_over: bool) -> None:
        if not self.steps:
            return
        columns, rows = shutil.get_terminal_size((80, 24))
        lines = self.screen(columns, is_over=is_over)
        if not is_over:
            lines = lines[:1] + lines[1:][-(rows - 2) :]
        up = f"\x1b[{self._drawn}A" if self._drawn else ""
        self.out.write(up + "".join(f"\x1b[2K{line}\n" for line in lines) + "\x1b[J")
        self.out.flush()
        self._drawn = len(lines)

    def screen(self, columns: int, *, is_over: bool) -> list[str]:
        """The whole list."""
        now = self.now()
        done = sum(step.ended is not None for step in self.steps.values())
        end = " FINISHED" if is_over and not self.failed() else ""
        lines = [f"[+] Building {now:.1f}s ({done}/{len(self.steps)}){end}"]
        for step in self.steps.values():
            lines.append(_row(step, now, columns))
            if step.ended is None:
                lines += [f" => => {text}"[: columns - 1] for text in _bars(step)]
                lines += [f" => => # {line}"[: columns - 1] for _, line in step.lines[-LOG_LINES:]]
        return lines


def _row(step: Step, now: float, columns: int) -> str:
    mark = "ERROR " if step.error else "CACHED " if step.is_cached and step.ended is not None else ""
    seconds = f"{(now if step.ended is None else step.ended) - step.began:.1f}s"
    name = f" => {mark}{' '.join(step.name.split())}"
    room = columns - len(seconds) - 2
    name = name if len(name) <= room else f"{name[: room - 3]}..."
    return f"{name:<{room}} {seconds}"


def _bars(step: Step) -> list[str]:
    found = []
    for id, (status, current, total) in step.bars.items():
        amount = f" {sizes.human(current, 4)} / {sizes.human(total, 4)}" if total else ""
        found.append(f"{id} {status}{amount}")
    return found


def tail(step: Step) -> list[str]:
    """The end of what a failed step said, as BuildKit shows it below the list."""
    shown = [f"{at:.3f} {line}" for at, line in step.lines[-20:]]
    return ["-" * 6, f" > {step.name}:", *shown, "-" * 6]
