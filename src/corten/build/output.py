"""Progress in the classic builder's words, in the file's order although stages run side by side.

Each stage writes to its own ``StageOutput``.  The first unfinished stage speaks live; what later ones say waits until
those before them are done.  Knows nothing of steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from corten.build.ports import Progress
from corten.build.watch import WatchedStep


class StageOutput:
    """A Progress that is live or waiting."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._waiting: list[Callable[[], None]] | None = []

    def _say(self, line: Callable[[], None]) -> None:
        if self._waiting is None:
            line()
        else:
            self._waiting.append(line)

    def stream(self, text: str) -> None:
        self._say(lambda: self._progress.stream(text))

    def log(self, text: str) -> None:
        self._say(lambda: self._progress.log(text))

    def status(self, id: str, status: str, current: int | None = None, total: int | None = None) -> None:
        self._say(lambda: self._progress.status(id, status, current, total))

    def aux(self, value: Mapping[str, Any]) -> None:
        self._say(lambda: self._progress.aux(value))

    def go_live(self) -> None:
        waiting, self._waiting = self._waiting, None
        for line in waiting or ():
            line()


class StepOutput:
    """A stage's output for the length of one step; who watches the step hears of it at once."""

    def __init__(self, output: StageOutput, watched: WatchedStep) -> None:
        self._output = output
        self._watched = watched

    def stream(self, text: str) -> None:
        self._output.stream(text)

    def log(self, text: str) -> None:
        self._watched.log(text)
        self._output.log(text)

    def status(self, id: str, status: str, current: int | None = None, total: int | None = None) -> None:
        self._watched.status(id, status, current, total)
        self._output.status(id, status, current, total)

    def aux(self, value: Mapping[str, Any]) -> None:
        self._output.aux(value)

    def explain(self, text: str) -> None:
        """Why it was in the cache or not, for who asked."""
        self._watched.log(f"{text}\n")
        self._output.stream(f" ---> {text}\n")

    def cached(self) -> None:
        """The step is taken from the cache."""
        self._watched.cached()
        self._output.stream(" ---> Using cache\n")


class Outputs:
    """The outputs of all stages, in order."""

    def __init__(self, progress: Progress, stages: tuple[int, ...]) -> None:
        self._order = list(stages)
        self._outputs = {stage: StageOutput(progress) for stage in stages}
        self._done: set[int] = set()
        self._advance()

    def __getitem__(self, stage: int) -> StageOutput:
        return self._outputs[stage]

    def finish(self, stage: int) -> None:
        self._done.add(stage)
        self._advance()

    def _advance(self) -> None:
        while self._order:
            self._outputs[self._order[0]].go_live()
            if self._order[0] not in self._done:
                return
            self._order.pop(0)


def short(image_id: str) -> str:
    """The twelve digits that Docker prints."""
    return image_id.partition(":")[2][:12] if ":" in image_id else image_id[:12]
