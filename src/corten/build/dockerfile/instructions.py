"""The instructions of a Dockerfile, typed: one frozen value each, as written (variables not yet expanded).

readers.py makes them of nodes; lower.py turns them into vertices.  Durations are nanoseconds, as in Docker's API.
"""

from __future__ import annotations

from dataclasses import dataclass

from corten.build.dockerfile.failures import Location
from corten.build.dockerfile.heredoc import Heredoc


@dataclass(frozen=True, slots=True)
class Source:
    """Where an instruction stands: ``keyword`` keeps its case, ``code`` is the logical line."""

    keyword: str
    code: str
    location: Location
    comments: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.keyword.upper()


@dataclass(frozen=True, slots=True)
class Instruction:
    source: Source

    def __str__(self) -> str:
        return self.source.code


@dataclass(frozen=True, slots=True)
class Pair:
    """``name=value``; ``is_legacy`` for ``ENV name value``."""

    name: str
    value: str
    is_legacy: bool = False


@dataclass(frozen=True, slots=True)
class CommandLine:
    """The exec form, or one string for the shell with the heredocs that belong to it."""

    args: tuple[str, ...]
    is_shell: bool
    heredocs: tuple[Heredoc, ...] = ()


@dataclass(frozen=True, slots=True)
class Arg(Instruction):
    """Pairs of name and default (None: no default)."""

    args: tuple[tuple[str, str | None], ...]


@dataclass(frozen=True, slots=True)
class Env(Instruction):
    pairs: tuple[Pair, ...]


@dataclass(frozen=True, slots=True)
class Label(Instruction):
    """``is_literal`` for those of --label: nothing in them is expanded."""

    pairs: tuple[Pair, ...]
    is_literal: bool = False


@dataclass(frozen=True, slots=True)
class Maintainer(Instruction):
    maintainer: str


@dataclass(frozen=True, slots=True)
class Copy(Instruction):
    """COPY and ADD.  ``sources`` are paths (ADD: also URLs); ``inline`` are heredocs, files by themselves."""

    sources: tuple[str, ...]
    inline: tuple[Heredoc, ...]
    destination: str
    is_add: bool = False
    origin: str = ""
    chown: str = ""
    chmod: str = ""
    link: bool = False
    parents: bool = False
    excludes: tuple[str, ...] = ()
    checksum: str = ""
    keep_git_dir: bool | None = None
    unpack: bool | None = None


@dataclass(frozen=True, slots=True)
class Run(Instruction):
    """``mounts`` are as written: variables in them are expanded when the step is lowered."""

    command: CommandLine
    mounts: tuple[str, ...] = ()
    network: str = "default"
    security: str = "sandbox"


@dataclass(frozen=True, slots=True)
class Cmd(Instruction):
    command: CommandLine


@dataclass(frozen=True, slots=True)
class Entrypoint(Instruction):
    command: CommandLine


@dataclass(frozen=True, slots=True)
class Healthcheck(Instruction):
    """``test`` is ("NONE",), ("CMD", ...) or ("CMD-SHELL", text)."""

    test: tuple[str, ...]
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


@dataclass(frozen=True, slots=True)
class Expose(Instruction):
    ports: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Volume(Instruction):
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class User(Instruction):
    user: str


@dataclass(frozen=True, slots=True)
class Workdir(Instruction):
    path: str


@dataclass(frozen=True, slots=True)
class Stopsignal(Instruction):
    signal: str


@dataclass(frozen=True, slots=True)
class Shell(Instruction):
    shell: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Onbuild(Instruction):
    """``expression`` is the trigger's own text, heredocs included."""

    expression: str


@dataclass(frozen=True, slots=True)
class From(Instruction):
    """``name`` is lower case, "" where there is no AS; ``written_name`` and ``as_word`` are for the checks."""

    base: str
    name: str = ""
    platform: str = ""
    written_name: str = ""
    as_word: str = ""


@dataclass(frozen=True, slots=True)
class Stage:
    """A FROM and what follows it."""

    origin: From
    instructions: tuple[Instruction, ...]

    @property
    def name(self) -> str:
        return self.origin.name


@dataclass(frozen=True, slots=True)
class Program:
    """A whole Dockerfile: the ARGs before the first FROM, and the stages."""

    meta_args: tuple[Arg, ...]
    stages: tuple[Stage, ...]
    escape: str = "\\"
