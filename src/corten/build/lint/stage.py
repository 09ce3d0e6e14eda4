"""The rules inside a stage: variables, working directory, repeated and legacy instructions, secrets, ports.  Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from corten.build import ports_exposed
from corten.build.args import GlobalArgs
from corten.build.dockerfile import go
from corten.build.dockerfile.ignore import Matcher
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
    Run,
    Shell,
    Stage,
    Stopsignal,
    User,
    Volume,
    Workdir,
)
from corten.build.dockerfile.suggest import nearest
from corten.build.dockerfile.words import expand
from corten.errors import Invalid

if TYPE_CHECKING:
    from corten.build.lint.check import Report

_SECRET = re.compile(
    r"(?:_|^)(?:apikey|auth|credentials?|key|password|pword|passwd|secret|token)(?:_|$)", re.IGNORECASE
)
_NOT_SECRET = re.compile(r"(?:_|^)(?:public|file|version)(?:_|$)", re.IGNORECASE)
_ONCE = (Cmd, Entrypoint, Healthcheck)


@dataclass(slots=True)
class StageFacts:
    """What is known while a stage is read."""

    env: dict[str, str] = field(default_factory=dict)
    args: dict[str, str | None] = field(default_factory=dict)
    has_workdir: bool = False
    has_shell: bool = False
    once: dict[type[Instruction], Instruction] = field(default_factory=dict)

    def for_child(self) -> StageFacts:
        return StageFacts(dict(self.env), dict(self.args), self.has_workdir, self.has_shell)

    def visible(self) -> dict[str, str]:
        return {**{name: value for name, value in self.args.items() if value is not None}, **self.env}


def check_stage(
    stage: Stage, facts: StageFacts, scope: GlobalArgs, escape: str, matcher: Matcher | None, report: Report
) -> None:
    """Every instruction in order; ``facts`` are those of the base, and change."""
    for instruction in stage.instructions:
        _variables(instruction, facts, scope, escape, report)
        _once(instruction, facts, report)
        _legacy(instruction, report)
        _secrets(instruction, report)
        if isinstance(instruction, Maintainer):
            _add(
                report,
                "MaintainerDeprecated",
                "Maintainer instruction is deprecated in favor of using label",
                instruction,
            )
        elif isinstance(instruction, Workdir):
            _workdir(instruction, facts, escape, report)
        elif isinstance(instruction, Expose):
            _expose(instruction, facts, escape, report)
        elif isinstance(instruction, Copy) and not instruction.origin and matcher:
            _ignored(instruction, matcher, facts, escape, report)
        _learn(instruction, facts, scope, escape)


def _add(report: Report, rule: str, message: str, instruction: Instruction) -> None:
    report.add(rule, message, instruction.source.location, instruction.source.comments)


def _words(instruction: Instruction) -> Iterable[str]:
    """The words of an instruction in which variables are expanded."""
    if isinstance(instruction, Env | Label):
        return [word for pair in instruction.pairs for word in (pair.name, pair.value)]
    if isinstance(instruction, Arg):
        return [word for name, default in instruction.args for word in (name, default or "")]
    if isinstance(instruction, Copy):
        fixed = [instruction.chown, instruction.chmod, instruction.checksum, *instruction.sources]
        return [*fixed, instruction.destination]
    if isinstance(instruction, Run):
        return [field.partition("=")[2] for mount in instruction.mounts for field in mount.split(",")]
    if isinstance(instruction, Volume):
        return instruction.paths
    if isinstance(instruction, User):
        return [instruction.user]
    if isinstance(instruction, Workdir):
        return [instruction.path]
    return [instruction.signal] if isinstance(instruction, Stopsignal) else []


def _variables(instruction: Instruction, facts: StageFacts, scope: GlobalArgs, escape: str, report: Report) -> None:
    env = {**scope.proxies(), **facts.visible()}
    for word in _words(instruction):
        try:
            missing = expand(word, env, escape=escape).missing
        except Invalid:
            continue
        for name in sorted(missing - facts.args.keys()):
            near = nearest(name, env)
            tail = f" (did you mean ${near}?)" if near else ""
            _add(report, "UndefinedVar", f"Usage of undefined variable '${name}'{tail}", instruction)


def _once(instruction: Instruction, facts: StageFacts, report: Report) -> None:
    if not isinstance(instruction, _ONCE):
        return
    before = facts.once.get(type(instruction))
    if before is not None:
        message = (
            f"Multiple {instruction.source.keyword} instructions should not be used in the same stage "
            "because only the last one will be used"
        )
        _add(report, "MultipleInstructionsDisallowed", message, before)
    facts.once[type(instruction)] = instruction
    if isinstance(instruction, Cmd | Entrypoint) and instruction.command.is_shell and not facts.has_shell:
        message = (
            f"JSON arguments recommended for {instruction.source.keyword} "
            "to prevent unintended behavior related to OS signals"
        )
        _add(report, "JSONArgsRecommended", message, instruction)


def _legacy(instruction: Instruction, report: Report) -> None:
    if isinstance(instruction, Env | Label) and any(pair.is_legacy for pair in instruction.pairs):
        word = instruction.source.keyword
        message = f'"{word} key=value" should be used instead of legacy "{word} key value" format'
        _add(report, "LegacyKeyValueFormat", message, instruction)


def _secrets(instruction: Instruction, report: Report) -> None:
    names: list[str] = []
    if isinstance(instruction, Env):
        names = [pair.name for pair in instruction.pairs]
    elif isinstance(instruction, Arg):
        names = [name for name, _ in instruction.args]
    for name in names:
        if _SECRET.search(name) and not _NOT_SECRET.search(name):
            kind = instruction.source.name
            message = f'Do not use ARG or ENV instructions for sensitive data ({kind} "{name}")'
            _add(report, "SecretsUsedInArgOrEnv", message, instruction)


def _expanded(word: str, facts: StageFacts, escape: str) -> str:
    try:
        return expand(word, facts.visible(), escape=escape).text
    except Invalid:
        return word


def _workdir(instruction: Workdir, facts: StageFacts, escape: str, report: Report) -> None:
    path = _expanded(instruction.path, facts, escape)
    if not facts.has_workdir and not path.startswith("/"):
        message = f"Relative workdir {go.quote(path)} can have unexpected results if the base image changes"
        _add(report, "WorkdirRelativePath", message, instruction)
    facts.has_workdir = True


def _expose(instruction: Expose, facts: StageFacts, escape: str, report: Report) -> None:
    for written in instruction.ports:
        for port in _expanded(written, facts, escape).split():
            address, host, container = ports_exposed.split(port)
            protocol = container.partition("/")[2]
            if protocol != protocol.lower():
                message = f"Defined protocol '{port}' in EXPOSE instruction should be lowercase"
                _add(report, "ExposeProtoCasing", message, instruction)
            if address or host:
                message = f"EXPOSE instruction should not define an IP address or host-port mapping, found '{port}'"
                _add(report, "ExposeInvalidFormat", message, instruction)


def _ignored(instruction: Copy, matcher: Matcher, facts: StageFacts, escape: str, report: Report) -> None:
    """Only where no exception could bring the file back."""
    if matcher.has_exceptions:
        return
    for written in instruction.sources:
        source = go.clean(_expanded(written, facts, escape))
        is_root = source in (".", "/")
        if is_root and not any(pattern.text in ("*", "**", "**/*") for pattern in matcher.patterns):
            continue
        if matcher.matches(source):
            word = "Add" if instruction.is_add else "Copy"
            message = f'Attempting to {word} file "{source}" that is excluded by .dockerignore'
            _add(report, "CopyIgnoredFile", message, instruction)


def _learn(instruction: Instruction, facts: StageFacts, scope: GlobalArgs, escape: str) -> None:
    if isinstance(instruction, Env):
        for pair in instruction.pairs:
            facts.env[_expanded(pair.name, facts, escape)] = _expanded(pair.value, facts, escape)
    elif isinstance(instruction, Arg):
        for name, default in instruction.args:
            value = None if default is None else _expanded(default, facts, escape)
            facts.args[name] = scope.value(name, value)
    elif isinstance(instruction, Shell):
        facts.has_shell = True
