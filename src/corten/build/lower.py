"""Instructions to vertices: everything about a step that can be known before it runs.

Pure.  Starts from the configuration of the base image; expands variables, keeps the stage's environment, working
directory, shell and ARGs, and gives each step the configuration it leaves behind and its words for the history.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from corten.build import lower_config, lower_copy, lower_run
from corten.build.args import GlobalArgs, StageArgs
from corten.build.dockerfile.failures import DockerfileError, Location
from corten.build.dockerfile.instructions import (
    Arg,
    Cmd,
    Copy,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Instruction,
    Label,
    Maintainer,
    Onbuild,
    Run,
    Shell,
    Stage,
    Stopsignal,
    User,
    Volume,
    Workdir,
)
from corten.build.dockerfile.parser import parse_line
from corten.build.dockerfile.readers import read
from corten.build.graph import Vertex
from corten.build.ground import Ground, Lowered
from corten.errors import Invalid

_LOWERINGS: dict[type[Instruction], Callable[[Ground, Any], Lowered]] = {
    Arg: lower_config.arg,
    Cmd: lower_config.cmd,
    Copy: lower_copy.copy,
    Entrypoint: lower_config.entrypoint,
    Env: lower_config.env,
    Expose: lower_config.expose,
    Healthcheck: lower_config.healthcheck,
    Label: lower_config.label,
    Maintainer: lower_config.maintainer,
    Onbuild: lower_config.onbuild,
    Run: lower_run.run,
    Shell: lower_config.shell,
    Stopsignal: lower_config.stopsignal,
    User: lower_config.user,
    Volume: lower_config.volume,
    Workdir: lower_config.workdir,
}


@dataclass(frozen=True, slots=True)
class LoweredStage:
    """``args`` are the ARGs at its end: a stage that starts from this one inherits them."""

    vertices: tuple[Vertex, ...]
    args: Mapping[str, str | None]


def lower_stage(
    stage: Stage,
    config: Mapping[str, Any],
    scope: GlobalArgs,
    *,
    escape: str = "\\",
    before: Sequence[Stage] = (),
    named: Mapping[str, Any] | None = None,
    author: str = "",
    inherited: Mapping[str, str | None] | None = None,
) -> LoweredStage:
    """A stage on a base with this container configuration; the base's ONBUILD triggers come first."""
    triggers = list(config.get("OnBuild") or ())
    start = {key: value for key, value in config.items() if key != "OnBuild"}
    ground = Ground(start, StageArgs(scope, dict(inherited or {})), escape, list(before), named or {}, author)
    at = stage.origin.source.location
    vertices = [replace(_lower(ground, _trigger(text, at)), location=at, is_trigger=True) for text in triggers]
    vertices += [_lower(ground, instruction) for instruction in stage.instructions]
    return LoweredStage(tuple(vertices), ground.args.values)


def _trigger(text: str, at: Location) -> Instruction:
    """An ONBUILD expression of the base; what is wrong with it is reported at the FROM."""
    try:
        node = parse_line(text)
        if node.name in ("onbuild", "from", "maintainer"):
            raise Invalid(f"{node.name.upper()} isn't allowed as an ONBUILD trigger")
        return read(node)
    except Invalid as failure:
        raise DockerfileError(failure.message, at) from None


def _lower(ground: Ground, instruction: Instruction) -> Vertex:
    source = instruction.source
    try:
        op, comment = _LOWERINGS[type(instruction)](ground, instruction)
    except DockerfileError:
        raise
    except Invalid as failure:
        raise DockerfileError(failure.message, source.location) from None
    return Vertex(source.code, source.location, op, comment, dict(ground.config), ground.author)
