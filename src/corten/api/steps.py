"""Lines of a build's stream that only clients who ask for them get: steps as they happen, findings, kept states.

Owns: the shape of each line; docs/builds.md describes them.  Every line is {"id": "corten.…", "aux": {…}} among the
lines of progress.py.  Knows nothing of builds; read next: server/buildlines.py writes them, cli/builds/ reads them.

    {"id":"corten.step","aux":{"step":3,"at":0.52,"event":"begin","name":"[2/4] RUN make"}}
    {"id":"corten.step","aux":{"step":3,"at":0.61,"event":"log","text":"..."}}
    {"id":"corten.step","aux":{"step":3,"at":0.99,"event":"done","error":""}}
"""

from __future__ import annotations

from typing import Any

STEP, CHECK, KEPT = "corten.step", "corten.check", "corten.kept"

BEGIN, CACHED, LOG, BAR, DONE = "begin", "cached", "log", "bar", "done"


def line(kind: str, body: dict[str, Any]) -> dict[str, Any]:
    """One object of the stream."""
    return {"id": kind, "aux": body}


def event(step: int, at: float, what: str, **fields: Any) -> dict[str, Any]:
    """Something happened to a step; ``at`` are seconds since the build began."""
    return line(STEP, {"step": step, "at": round(at, 3), "event": what, **fields})
