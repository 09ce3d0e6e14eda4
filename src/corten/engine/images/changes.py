"""``--change`` of import and commit: Dockerfile instructions over a container configuration.

Owns: which instructions may stand there.  Their meaning is the builder's (build/lower.py).  Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from corten.build.args import GlobalArgs
from corten.build.dockerfile.instructions import From, Stage
from corten.build.dockerfile.parser import parse
from corten.build.dockerfile.readers import read
from corten.build.lower import lower_stage
from corten.errors import Invalid

ALLOWED = frozenset(
    {
        "cmd",
        "entrypoint",
        "env",
        "expose",
        "healthcheck",
        "label",
        "onbuild",
        "stopsignal",
        "user",
        "volume",
        "workdir",
    }
)


def apply(config: Mapping[str, Any], changes: Iterable[str]) -> dict[str, Any]:
    """The configuration after the changes; raises Invalid in dockerd's words."""
    text = "\n".join(change for change in changes if change.strip())
    if not text:
        return dict(config)
    nodes = parse(text).nodes
    for node in nodes:
        if node.name not in ALLOWED:
            raise Invalid(f"{node.keyword} is not a valid change command")
    instructions = tuple(read(node) for node in nodes)
    # The base's triggers wait for a build; they are no part of this.
    triggers = list(config.get("OnBuild") or ())
    base = {name: value for name, value in config.items() if name != "OnBuild"}
    stage = Stage(From(instructions[0].source, "scratch"), instructions)
    changed = dict(lower_stage(stage, base, GlobalArgs({}, {}, {})).vertices[-1].config)
    triggers += changed.get("OnBuild") or ()
    return changed | {"OnBuild": triggers} if triggers else changed
