"""JSON lines of progress: what pull, push, load, import and build send while they work.

Owns: the shape of each line, the drawn bar of the old ``progress`` field, the limit on how often a bar moves.
Knows nothing of sockets: lines are bytes handed to a callable.  For who sends them read engine/images and
engine/builds; for how they reach a client read server/lines.py.

A stream is a row of JSON objects, each ended by CR LF:

    {"status":"Downloading","progressDetail":{"current":1,"total":2},"progress":"[=> ] 1B/2B","id":"layer"}
    {"stream":"Step 1/2 : FROM scratch"}
    {"aux":{"ID":"sha256:..."}}
    {"errorDetail":{"code":1,"message":"..."},"error":"..."}
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Write = Callable[[bytes], None]

# Bars that carry numbers move at most this often per layer; a change of words or the last number always goes out.
BAR_INTERVAL = 0.1
BAR_WIDTH = 50


def encode(line: dict[str, Any]) -> bytes:
    """One object as it goes over the wire."""
    return json.dumps(line, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace") + b"\r\n"


def stream(text: str) -> bytes:
    """A piece of a build's output."""
    return encode({"stream": text})


def status(text: str, layer: str | None = None) -> bytes:
    """A sentence, about one layer or about the whole."""
    return encode({"status": text} if layer is None else {"status": text, "id": layer})


def aux(value: dict[str, Any]) -> bytes:
    """A result meant for programs."""
    return encode({"aux": value})


def error(message: str, code: int | None = None) -> bytes:
    """The last line of what failed after it had begun to answer."""
    detail: dict[str, Any] = {"message": message} if code is None else {"code": code, "message": message}
    return encode({"errorDetail": detail, "error": message})


def bar(layer: str, text: str, current: int, total: int) -> bytes:
    """A step of a layer with how far it has come; ``total`` 0 where that is not known."""
    detail = {"current": current, "total": total} if total > 0 else {"current": current}
    drawn = {"progress": draw(current, total)} if current > 0 else {}
    return encode({"status": text, "progressDetail": detail, **drawn, "id": layer})


def step(layer: str, text: str) -> bytes:
    """A step of a layer without numbers."""
    return encode({"status": text, "progressDetail": {}, "id": layer})


def draw(current: int, total: int) -> str:
    """The bar that older clients print as they get it."""
    if total <= 0:
        return f"{human_size(current):>8}"
    if current > total:
        return f"[{'=' * BAR_WIDTH}>] {human_size(current):>8}/{human_size(total)}"
    done = current * BAR_WIDTH // total
    return f"[{'=' * done}>{' ' * (BAR_WIDTH - done)}] {human_size(current):>8}/{human_size(total)}"


def human_size(size: float) -> str:
    """Four significant digits and a decimal unit: ``1.293MB``."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000:
            return f"{size:.4g}{unit}"
        size /= 1000
    return f"{size:.4g}PB"


@dataclass(slots=True)
class _Shown:
    text: str
    at: float


class ProgressLines:
    """Turns the progress of layers into lines; fits the ``Progress`` port of distribution and build.

    Bars are thinned: between two lines with the same words about one layer lie at least ``BAR_INTERVAL`` seconds,
    except for the last (``current == total``).
    """

    def __init__(self, write: Write, clock: Callable[[], float] = time.monotonic) -> None:
        self._write = write
        self._clock = clock
        self._shown: dict[str, _Shown] = {}

    def update(self, id: str, status: str, current: int | None = None, total: int | None = None) -> None:
        """A layer took a step, or came further in the one it is in."""
        shown = self._shown.get(id)
        now = self._clock()
        same = shown is not None and shown.text == status
        if current is None:
            if not same:
                self._write(step(id, status))
                self._shown[id] = _Shown(status, 0.0)
            return
        finished = total is not None and total > 0 and current >= total
        if same and shown is not None and not finished and now - shown.at < BAR_INTERVAL:
            return
        self._shown[id] = _Shown(status, now)
        self._write(bar(id, status, current, total or 0))

    def message(self, status: str, id: str | None = None) -> None:
        """A sentence about the whole."""
        self._write(encode({"status": status} if id is None else {"status": status, "id": id}))


def decode(data: bytes) -> Iterator[dict[str, Any]]:
    """The objects of a complete stream, whatever white space stands between them."""
    text = data.decode("utf-8", "replace")
    decoder = json.JSONDecoder()
    at = 0
    while True:
        while at < len(text) and text[at].isspace():
            at += 1
        if at >= len(text):
            return
        value, at = decoder.raw_decode(text, at)
        if isinstance(value, dict):
            yield value
