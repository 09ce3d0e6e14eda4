"""A build's progress as JSON lines: the classic builder's text, or each step as it happens.

Owns: which of the two a client gets.  Knows nothing of building; the lines are those of api/progress.py and
api/steps.py.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from corten.api import progress, steps
from corten.build.ports import Progress
from corten.build.watch import UNWATCHED, Watcher
from corten.server import lines


class Reporter:
    """Classic text.  A quiet build keeps it for the case that it fails."""

    def __init__(self, pipe: lines.Pipe, *, wants_aux: bool, quiet: bool) -> None:
        self._kept: list[bytes] = []
        self._pipe = pipe
        self._write = self._kept.append if quiet else pipe.write
        self._wants_aux = wants_aux
        self._bars = progress.ProgressLines(self._write)

    @property
    def progress(self) -> Progress:
        return self

    @property
    def watcher(self) -> Watcher:
        return UNWATCHED

    def stream(self, text: str) -> None:
        self._write(progress.stream(text))

    def log(self, text: str) -> None:
        self.stream(text)

    def status(self, id: str, status: str, current: int | None = None, total: int | None = None) -> None:
        if id:
            self._bars.update(id, status, current, total)
        else:
            self._bars.message(status)

    def aux(self, value: Mapping[str, Any]) -> None:
        if self._wants_aux:
            self._write(progress.aux(dict(value)))

    def tell(self, kind: str, body: Mapping[str, Any]) -> None:
        """Findings and kept states: classic clients have not asked."""

    def flush(self) -> None:
        """Show what a quiet build kept back."""
        for line in self._kept:
            self._pipe.write(line)
        self._kept.clear()


class StepReporter(Reporter):
    """Steps as they happen; what the classic builder says is not told.  A Watcher as well as a Progress."""

    def __init__(self, pipe: lines.Pipe, *, quiet: bool) -> None:
        super().__init__(pipe, wants_aux=True, quiet=quiet)
        self._began = time.monotonic()
        self._steps = 0

    @property
    def watcher(self) -> Watcher:
        return self

    def stream(self, text: str) -> None:
        """The steps say it better."""

    def log(self, text: str) -> None:
        """Steps tell their own."""

    def status(self, id: str, status: str, current: int | None = None, total: int | None = None) -> None:
        """Steps tell their own."""

    def tell(self, kind: str, body: Mapping[str, Any]) -> None:
        self._write(progress.encode(steps.line(kind, dict(body))))

    def begin(self, name: str) -> _Step:
        """A step begins."""
        self._steps += 1
        step = _Step(self, self._steps)
        step.say(steps.BEGIN, name=name)
        return step

    def event(self, step: int, what: str, fields: Mapping[str, Any]) -> None:
        self._write(progress.encode(steps.event(step, time.monotonic() - self._began, what, **fields)))


class _Step:
    """One step; bars that move too often are thinned."""

    def __init__(self, reporter: StepReporter, number: int) -> None:
        self._reporter = reporter
        self._number = number
        self._bars: dict[str, tuple[str, float]] = {}

    def say(self, what: str, **fields: Any) -> None:
        self._reporter.event(self._number, what, fields)

    def cached(self) -> None:
        self.say(steps.CACHED)

    def log(self, text: str) -> None:
        self.say(steps.LOG, text=text)

    def status(self, id: str, status: str, current: int | None = None, total: int | None = None) -> None:
        words, at = self._bars.get(id, ("", 0.0))
        now = time.monotonic()
        if words == status and current != total and now - at < progress.BAR_INTERVAL:
            return
        self._bars[id] = (status, now)
        self.say(steps.BAR, id=id, status=status, current=current or 0, total=total or 0)

    def done(self, error: str = "") -> None:
        self.say(steps.DONE, error=error)
