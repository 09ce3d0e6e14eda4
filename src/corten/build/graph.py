"""The build as a graph: stages and what each needs of the others; vertices, the steps inside a stage.

Pure values, and the pure function that finds which stages a target needs.  lower.py fills a stage with vertices once
its base image's configuration is known; solve.py walks them; steps/ perform them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from corten.build.args import GlobalArgs
from corten.build.dockerfile import runmount
from corten.build.dockerfile.failures import DockerfileError, Location
from corten.build.dockerfile.instructions import Copy, Instruction, Program, Run, Stage
from corten.build.dockerfile.runmount import RunMount
from corten.build.dockerfile.words import expand
from corten.errors import Invalid, NotFound

SCRATCH = "scratch"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a COPY --from, a RUN --mount or a FROM takes files: exactly one is set, all empty means the context."""

    stage: int | None = None
    image: str = ""
    named: str = ""

    @property
    def is_context(self) -> bool:
        return self.stage is None and not self.image and not self.named


@dataclass(frozen=True, slots=True)
class InlineFile:
    """A heredoc of COPY or ADD as a file."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class ConfigOp:
    """Changes the configuration only."""


@dataclass(frozen=True, slots=True)
class WorkdirOp:
    """Makes the directory where it lacks."""

    path: str


@dataclass(frozen=True, slots=True)
class MountOp:
    """A mount of a RUN and where it comes from."""

    mount: RunMount
    origin: Origin


@dataclass(frozen=True, slots=True)
class RunOp:
    """A process.  ``shown_args`` are the ARGs that count for the cache and show in the history, ``name=value``.
    ``script`` is a heredoc with a #! line, run as a file by itself."""

    args: tuple[str, ...]
    env: tuple[str, ...]
    shown_args: tuple[str, ...]
    cwd: str
    user: str
    mounts: tuple[MountOp, ...] = ()
    network: str = "default"
    insecure: bool = False
    script: InlineFile | None = None


@dataclass(frozen=True, slots=True)
class CopyOp:
    """COPY or ADD.  ``destination`` is absolute and keeps a trailing slash (which means: a directory)."""

    sources: tuple[str, ...]
    inline: tuple[InlineFile, ...]
    destination: str
    origin: Origin = field(default_factory=Origin)
    is_add: bool = False
    chown: str = ""
    chmod: str = ""
    link: bool = False
    parents: bool = False
    excludes: tuple[str, ...] = ()
    checksum: str = ""
    keep_git_dir: bool | None = None
    unpack: bool | None = None

    @property
    def name(self) -> str:
        return "ADD" if self.is_add else "COPY"


Op = ConfigOp | WorkdirOp | RunOp | CopyOp


@dataclass(frozen=True, slots=True)
class Vertex:
    """One step.  ``config`` is the container configuration after it; ``comment`` what the history says made it."""

    text: str
    location: Location
    op: Op
    comment: str
    config: Mapping[str, Any]
    author: str = ""
    is_trigger: bool = False

    def describe(self) -> str:
        return f"{type(self.op).__name__}: {self.text}"


@dataclass(frozen=True, slots=True)
class StagePlan:
    """A stage before its base is known.  ``base`` is a stage, an image, or neither for scratch."""

    index: int
    stage: Stage
    base: Origin
    platform: str
    needs: frozenset[int]

    @property
    def name(self) -> str:
        return self.stage.name

    @property
    def is_scratch(self) -> bool:
        return self.base.is_context


@dataclass(frozen=True, slots=True)
class Graph:
    """Every stage, and the indexes of those that the target needs, in the file's order."""

    stages: tuple[StagePlan, ...]
    target: int
    needed: tuple[int, ...]

    def find(self, name: str, before: int) -> int | None:
        """The latest stage before ``before`` with this name, or number."""
        return find_stage(name, [plan.stage for plan in self.stages[:before]])


def find_stage(name: str, stages: list[Stage]) -> int | None:
    for index in range(len(stages) - 1, -1, -1):
        if stages[index].name and stages[index].name == name.lower():
            return index
    if name.isascii() and name.isdigit() and int(name[:9]) < len(stages):
        return int(name[:9])
    return None


def plan(program: Program, scope: GlobalArgs, target: str, named: Mapping[str, Any]) -> Graph:
    """Names become stages or images; what the target does not need is left out."""
    if not program.stages:
        raise Invalid("no build stage in current context")
    plans: list[StagePlan] = []
    for index, stage in enumerate(program.stages):
        before = list(program.stages[:index])
        base = _base(stage, scope, before, program.escape, named)
        needs = {base.stage} if base.stage is not None else set()
        for instruction in stage.instructions:
            needs |= _needs(instruction, index, before, named)
        plans.append(StagePlan(index, stage, base, _platform(stage, scope, program.escape), frozenset(needs)))
    goal = _target(target, program)
    needed: set[int] = set()
    pending = [goal]
    while pending:
        index = pending.pop()
        if index not in needed:
            needed.add(index)
            pending.extend(plans[index].needs)
    return Graph(tuple(plans), goal, tuple(sorted(needed)))


def _target(target: str, program: Program) -> int:
    if not target:
        return len(program.stages) - 1
    index = find_stage(target, list(program.stages))
    if index is None:
        # docker: BuildKit says 'target stage "x" could not be found'.
        raise NotFound(f"failed to reach build target {target} in Dockerfile")
    return index


def _base(stage: Stage, scope: GlobalArgs, before: list[Stage], escape: str, named: Mapping[str, Any]) -> Origin:
    name = _expanded(stage.origin.base, scope, escape, stage)
    if not name:
        raise DockerfileError(f"base name ({stage.origin.base}) should not be blank", stage.origin.source.location)
    if name == SCRATCH:
        return Origin()
    index = find_stage(name, before) if not name.isdigit() else None
    if index is not None:
        return Origin(stage=index)
    return Origin(named=name) if name in named else Origin(image=name)


def _platform(stage: Stage, scope: GlobalArgs, escape: str) -> str:
    written = stage.origin.platform
    platform = _expanded(written, scope, escape, stage) if written else ""
    if written and not platform:
        raise DockerfileError(f"empty platform value from expression {written}", stage.origin.source.location)
    return platform


def _expanded(text: str, scope: GlobalArgs, escape: str, stage: Stage) -> str:
    try:
        return expand(text, scope.env, escape=escape).text
    except Invalid as failure:
        raise DockerfileError(failure.message, stage.origin.source.location) from None


def _needs(instruction: Instruction, index: int, before: list[Stage], named: Mapping[str, Any]) -> set[int]:
    names: list[str] = []
    if isinstance(instruction, Copy) and instruction.origin:
        names = [instruction.origin]
    elif isinstance(instruction, Run):
        names = [name for mount in instruction.mounts if (name := runmount.origin_of(mount))]
    found = {origin(name, before, named).stage for name in names}
    return {stage for stage in found if stage is not None}


def origin(name: str, before: list[Stage], named: Mapping[str, Any]) -> Origin:
    """What ``--from=name`` means for a stage that comes after ``before``."""
    if not name:
        return Origin()
    stage = find_stage(name, before)
    if stage is not None:
        return Origin(stage=stage)
    if name in named:
        return Origin(named=name)
    if name.isascii() and name.isdigit():
        raise Invalid(f"invalid from flag value {name}: invalid stage index {name}")
    return Origin(image=name)
