"""Lowering of the instructions that change the image's configuration only (and WORKDIR, which may make a directory).

Pure.  Each gives its operation and the words that the history keeps, which are the classic builder's.
"""

from __future__ import annotations

import posixpath
import signal
from typing import Any

from corten.build import ports_exposed
from corten.build.dockerfile import go
from corten.build.dockerfile.instructions import (
    Arg,
    Cmd,
    CommandLine,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Label,
    Maintainer,
    Onbuild,
    Shell,
    Stopsignal,
    User,
    Volume,
    Workdir,
)
from corten.build.graph import ConfigOp, WorkdirOp
from corten.build.ground import Ground, Lowered
from corten.errors import Invalid

_SIGNALS = frozenset(name.removeprefix("SIG") for name in signal.Signals.__members__)


def arg(ground: Ground, instruction: Arg) -> Lowered:
    shown: list[str] = []
    for written, default in instruction.args:
        name = ground.expand(written)
        value = None if default is None else ground.expand(default)
        ground.args.declare(name, value)
        shown.append(name if value is None else f"{name}={value}")
    return ConfigOp(), "ARG " + " ".join(shown)


def env(ground: Ground, instruction: Env) -> Lowered:
    # One instruction sees the environment before it, however many variables it sets.
    pairs = [(ground.expand(pair.name), ground.expand(pair.value)) for pair in instruction.pairs]
    for name, value in pairs:
        ground.set_env(name, value)
    return ConfigOp(), "ENV " + " ".join(f"{name}={value}" for name, value in pairs)


def label(ground: Ground, instruction: Label) -> Lowered:
    expand = str if instruction.is_literal else ground.expand
    pairs = [(expand(pair.name), expand(pair.value)) for pair in instruction.pairs]
    ground.config["Labels"] = {**(ground.config.get("Labels") or {}), **dict(pairs)}
    return ConfigOp(), "LABEL " + " ".join(f"{name}={value}" for name, value in pairs)


def maintainer(ground: Ground, instruction: Maintainer) -> Lowered:
    ground.author = instruction.maintainer
    return ConfigOp(), f"MAINTAINER {instruction.maintainer}"


def _command(ground: Ground, command: CommandLine) -> list[str]:
    if not command.is_shell:
        return list(command.args)
    return [*ground.shell, *command.args] if command.args else []


def _quoted(args: list[str]) -> str:
    return "[" + " ".join(go.quote(text) for text in args) + "]"


def cmd(ground: Ground, instruction: Cmd) -> Lowered:
    ground.config["Cmd"] = _command(ground, instruction.command)
    ground.has_cmd = True
    return ConfigOp(), f"CMD {_quoted(ground.config['Cmd'])}"


def entrypoint(ground: Ground, instruction: Entrypoint) -> Lowered:
    args = _command(ground, instruction.command)
    ground.config["Entrypoint"] = args or None
    if not ground.has_cmd:
        ground.config.pop("Cmd", None)  # docker: the base's CMD belongs to the base's ENTRYPOINT
    return ConfigOp(), f"ENTRYPOINT {_quoted(args)}"


def shell(ground: Ground, instruction: Shell) -> Lowered:
    ground.config["Shell"] = list(instruction.shell)
    return ConfigOp(), f"SHELL [{' '.join(instruction.shell)}]"


def expose(ground: Ground, instruction: Expose) -> Lowered:
    written = [word for text in instruction.ports for word in ground.expand_words(text)]
    exposed = [port for text in written for port in ports_exposed.parse(text)]
    ground.config["ExposedPorts"] = {**(ground.config.get("ExposedPorts") or {}), **{port: {} for port in exposed}}
    return ConfigOp(), f"EXPOSE {' '.join(written)}"


def volume(ground: Ground, instruction: Volume) -> Lowered:
    paths = [go.trim(ground.expand(path)) for path in instruction.paths]
    if not all(paths):
        raise Invalid("VOLUME specified can not be an empty string")
    ground.config["Volumes"] = {**(ground.config.get("Volumes") or {}), **{path: {} for path in paths}}
    return ConfigOp(), f"VOLUME [{' '.join(paths)}]"


def user(ground: Ground, instruction: User) -> Lowered:
    ground.config["User"] = ground.expand(instruction.user)
    return ConfigOp(), f"USER {ground.config['User']}"


def workdir(ground: Ground, instruction: Workdir) -> Lowered:
    path = ground.expand(instruction.path)
    if not path:
        raise Invalid("cannot normalize nothing")
    ground.config["WorkingDir"] = go.clean(posixpath.join("/", ground.cwd, path))
    return WorkdirOp(ground.cwd), f"WORKDIR {ground.cwd}"


def stopsignal(ground: Ground, instruction: Stopsignal) -> Lowered:
    name = ground.expand(instruction.signal)
    _check_signal(name)
    ground.config["StopSignal"] = name
    return ConfigOp(), f"STOPSIGNAL {name}"


def _check_signal(text: str) -> None:
    name = text.upper().removeprefix("SIG")
    base = name.partition("+")[0].partition("-")[0]
    is_number = text.isascii() and text.isdigit() and 0 < int(text[:5]) <= 64
    if not is_number and name not in _SIGNALS and base not in ("RTMIN", "RTMAX"):
        raise Invalid(f"invalid signal: {text}")


def healthcheck(ground: Ground, instruction: Healthcheck) -> Lowered:
    check: dict[str, Any] = {"Test": list(instruction.test)}
    durations = {
        "Interval": instruction.interval,
        "Timeout": instruction.timeout,
        "StartPeriod": instruction.start_period,
        "StartInterval": instruction.start_interval,
        "Retries": instruction.retries,
    }
    ground.config["Healthcheck"] = check | {name: value for name, value in durations.items() if value}
    return ConfigOp(), f"HEALTHCHECK {_quoted(list(instruction.test))}"


def onbuild(ground: Ground, instruction: Onbuild) -> Lowered:
    ground.config["OnBuild"] = [*(ground.config.get("OnBuild") or ()), instruction.expression]
    return ConfigOp(), f"ONBUILD {instruction.expression}"
