"""Checking a Dockerfile: every rule that needs no build.

Pure: the environment of a base image, where it is known, comes as an argument.  Read next: stage.py for what is found
inside a stage.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from corten.build.args import GlobalArgs, Platforms, global_args
from corten.build.dockerfile.failures import Location
from corten.build.dockerfile.ignore import Matcher
from corten.build.dockerfile.instructions import From, Program, Stage
from corten.build.dockerfile.parser import Dockerfile, parse
from corten.build.dockerfile.readers import read_program
from corten.build.dockerfile.suggest import nearest
from corten.build.dockerfile.words import Expansion, expand
from corten.build.graph import SCRATCH, find_stage
from corten.build.lint.options import Options
from corten.build.lint.rules import RULES, Finding
from corten.build.lint.stage import StageFacts, check_stage
from corten.errors import Invalid
from corten.spec.reference import Reference

RESERVED = frozenset({"context", "scratch"})
Environments = Mapping[str, Mapping[str, str]]


@dataclass(slots=True)
class Report:
    """Collects findings; asks the options first."""

    options: Options
    findings: list[Finding] = field(default_factory=list)

    def add(self, name: str, message: str, location: Location, comments: tuple[str, ...] = ()) -> None:
        if self.options.for_comments(comments).allows(RULES[name]):
            self.findings.append(Finding(RULES[name], message, location))

    @property
    def violated(self) -> list[str]:
        return sorted({finding.rule.name for finding in self.findings})


def check(
    source: str,
    *,
    build_args: Mapping[str, str | None] | None = None,
    platforms: Platforms | None = None,
    matcher: Matcher | None = None,
    environments: Environments | None = None,
    options: Options | None = None,
) -> Report:
    """The findings of a file, in its order.  Raises DockerfileError where it does not parse.

    ``environments`` are those of base images by name; ``matcher`` is the ignore file's.
    """
    dockerfile = parse(source)
    program = read_program(dockerfile)
    report = Report(options or _options(dockerfile))
    scope = global_args(program, build_args or {}, platforms or Platforms(), "")
    for warning in dockerfile.warnings:
        report.add("NoEmptyContinuation", "Empty continuation line", warning.location)
    _casing(program, report)
    _meta_args(program, report)
    facts: list[StageFacts] = []
    seen: set[str] = set()
    for index, stage in enumerate(program.stages):
        _names(stage, seen, report)
        _from(stage.origin, program, scope, report)
        start = _start(stage, program.stages[:index], facts, scope, program.escape, environments or {})
        check_stage(stage, start, scope, program.escape, matcher, report)
        facts.append(start)
    report.findings.sort(key=lambda finding: finding.location.start)
    return report


def _options(dockerfile: Dockerfile) -> Options:
    directive = dockerfile.directives.get("check")
    return Options.parse(directive.value.partition(" ")[0]) if directive else Options()


def _casing(program: Program, report: Report) -> None:
    """All upper or all lower: the majority is right."""
    sources = [instruction.source for stage in program.stages for instruction in (stage.origin, *stage.instructions)]
    lower = sum(source.keyword == source.keyword.lower() for source in sources)
    upper = sum(source.keyword == source.keyword.upper() for source in sources)
    is_lower = lower > upper
    for source in sources:
        word = source.keyword
        if word != (word.lower() if is_lower else word.upper()):
            casing = "lowercase" if is_lower else "uppercase"
            report.add(
                "ConsistentInstructionCasing",
                f"Command '{word}' should match the case of the command majority ({casing})",
                source.location,
                source.comments,
            )


def _meta_args(program: Program, report: Report) -> None:
    for instruction in program.meta_args:
        names = [name for name, _ in instruction.args]
        description("ARG", names, instruction.source.comments, instruction.source.location, report)


def description(keyword: str, names: list[str], comments: tuple[str, ...], location: Location, report: Report) -> None:
    """A comment right above a stage or an ARG describes it: it begins with its name."""
    if not comments or not names or comments[-1].split(" ")[0] in names:
        return
    example = names[0] if len(names) == 1 else "<arg_key>"
    message = f"Comment for {keyword} should follow the format: `# {example} <description>`"
    report.add("InvalidDefinitionDescription", message, location, comments)


def _names(stage: Stage, seen: set[str], report: Report) -> None:
    origin = stage.origin
    at, comments = origin.source.location, origin.source.comments
    if not origin.name:
        return
    if origin.written_name != origin.name:
        report.add("StageNameCasing", f"Stage name '{origin.written_name}' should be lowercase", at, comments)
    keyword = origin.source.keyword
    wanted = origin.as_word.lower() if keyword == keyword.lower() else origin.as_word.upper()
    if keyword in (keyword.lower(), keyword.upper()) and origin.as_word != wanted:
        report.add("FromAsCasing", f"'{origin.as_word}' and '{keyword}' keywords' casing do not match", at, comments)
    if origin.name in RESERVED:
        message = f'Stage name should not use the same name as reserved stage "{origin.name}"'
        report.add("ReservedStageName", message, at, comments)
    if origin.name in seen:
        message = f'Duplicate stage name "{origin.name}", stage names should be unique'
        report.add("DuplicateStageName", message, at, comments)
    seen.add(origin.name)
    description("FROM", [origin.name], comments, at, report)


def _from(origin: From, program: Program, scope: GlobalArgs, report: Report) -> None:
    at, comments = origin.source.location, origin.source.comments
    base = _expanded(origin.base, scope, program.escape)
    _undefined(base, scope, at, comments, report)
    if origin.platform:
        platform = _expanded(origin.platform, scope, program.escape)
        _undefined(platform, scope, at, comments, report)
        if platform.used == {"TARGETPLATFORM"} and platform.text == scope.env["TARGETPLATFORM"]:
            message = (
                f"Setting platform to predefined {origin.platform} in FROM is redundant as this is the default behavior"
            )
            report.add("RedundantTargetPlatform", message, at, comments)
        elif not platform.used and not platform.missing and not _names_platform(origin.name, platform.text):
            message = f'FROM --platform flag should not use constant value "{platform.text}"'
            report.add("FromPlatformFlagConstDisallowed", message, at, comments)
    defaults = _expanded(origin.base, global_args(program, {}, Platforms(), ""), program.escape)
    if not _is_name(defaults.text):
        message = f"Default value for ARG {origin.base} results in empty or invalid base image name"
        report.add("InvalidDefaultArgInFrom", message, at, comments)


def _names_platform(stage: str, platform: str) -> bool:
    """A stage that says which platform it is for may fix it."""
    return any(part and part in stage for part in platform.split("/")[:2])


def _is_name(text: str) -> bool:
    try:
        Reference.parse(text)
    except Invalid:
        return False
    return True


def _expanded(text: str, scope: GlobalArgs, escape: str) -> Expansion:
    try:
        return expand(text, scope.env, escape=escape)
    except Invalid:
        return Expansion(text, (text,), frozenset({""}))


def _undefined(
    expansion: Expansion, scope: GlobalArgs, at: Location, comments: tuple[str, ...], report: Report
) -> None:
    known = {*scope.predefined, *scope.declared}
    for name in sorted(expansion.missing - known):
        near = nearest(name, known)
        tail = f" (did you mean {near}?)" if near else ""
        report.add("UndefinedArgInFrom", f"FROM argument '{name}' is not declared{tail}", at, comments)


def _start(
    stage: Stage,
    before: tuple[Stage, ...],
    facts: list[StageFacts],
    scope: GlobalArgs,
    escape: str,
    environments: Environments,
) -> StageFacts:
    base = _expanded(stage.origin.base, scope, escape).text
    index = find_stage(base, list(before)) if not base.isdigit() else None
    if index is not None:
        return facts[index].for_child()
    env = {} if base == SCRATCH else environments.get(base, {"PATH": ""})
    return StageFacts(env=dict(env))
