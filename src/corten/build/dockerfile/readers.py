"""Nodes to typed instructions: one reader each, in the table at the end; ``read_program`` gathers the stages.

Errors are Docker's, prefixed with ``dockerfile parse error on line N:`` and keeping their lines.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from corten.build.dockerfile import flags, heredoc, runmount
from corten.build.dockerfile.failures import DockerfileError
from corten.build.dockerfile.go import parse_duration, quote, trim
from corten.build.dockerfile.heredoc import Heredoc
from corten.build.dockerfile.instructions import (
    Arg,
    Cmd,
    CommandLine,
    Copy,
    Entrypoint,
    Env,
    Expose,
    From,
    Healthcheck,
    Instruction,
    Label,
    Maintainer,
    Onbuild,
    Pair,
    Program,
    Run,
    Shell,
    Source,
    Stage,
    Stopsignal,
    User,
    Volume,
    Workdir,
)
from corten.build.dockerfile.parser import INSTRUCTIONS, Dockerfile, Node
from corten.build.dockerfile.suggest import with_suggestion
from corten.errors import Invalid

_STAGE_NAME = re.compile(r"[a-z][a-z0-9\-_.]*")
_ONBUILD = re.compile(r"^\s*ONBUILD\s*", re.IGNORECASE)
MIN_INTERVAL = 1_000_000
NETWORKS = frozenset({"default", "none", "host"})
SECURITY = frozenset({"sandbox", "insecure"})


def read_program(dockerfile: Dockerfile) -> Program:
    """Every stage with its instructions."""
    meta_args: list[Arg] = []
    stages: list[tuple[From, list[Instruction]]] = []
    for node in dockerfile.nodes:
        instruction = read(node)
        if isinstance(instruction, From):
            stages.append((instruction, []))
        elif stages:
            stages[-1][1].append(instruction)
        elif isinstance(instruction, Arg):
            meta_args.append(instruction)
        else:
            raise DockerfileError("no build stage in current context", node.location)
    return Program(tuple(meta_args), tuple(Stage(origin, tuple(rest)) for origin, rest in stages), dockerfile.escape)


def read(node: Node) -> Instruction:
    """One instruction, typed."""
    try:
        reader = _READERS.get(node.name)
        if reader is None:
            known = (name.upper() for name in INSTRUCTIONS)
            raise Invalid(
                with_suggestion(f"unknown instruction: {node.keyword}", node.keyword, known, case_sensitive=False)
            )
        return reader(node)
    except Invalid as failure:
        message = f"dockerfile parse error on line {node.location.start}: {failure.message}"
        raise DockerfileError(message, node.location) from None


def _source(node: Node) -> Source:
    return Source(node.keyword, trim(node.original), node.location, node.comments)


def _values(node: Node) -> tuple[str, ...]:
    return node.arguments.values


def _no_flags(node: Node) -> None:
    flags.read(node.flags, {})


def _some(node: Node) -> tuple[str, ...]:
    if not _values(node):
        raise Invalid(f"{node.name.upper()} requires at least one argument")
    return _values(node)


def _one(node: Node) -> str:
    if len(_values(node)) != 1:
        raise Invalid(f"{node.name.upper()} requires exactly one argument")
    return _values(node)[0]


def _pairs(node: Node) -> tuple[Pair, ...]:
    _no_flags(node)
    values = _some(node)
    triples = zip(values[0::3], values[1::3], values[2::3], strict=True)
    pairs = tuple(Pair(name, value, separator == "") for name, value, separator in triples)
    if not all(pair.name for pair in pairs):
        raise Invalid(f"{node.name.upper()} names can not be blank")
    return pairs


def _command_line(node: Node) -> CommandLine:
    values = _values(node)
    if not node.arguments.is_json and values:
        values = (" ".join(values),)
    return CommandLine(values, not node.arguments.is_json, node.heredocs)


def _from(node: Node) -> From:
    values = _values(node)
    as_word, written = values[1:] if len(values) == 3 else ("", "")
    if as_word.lower() != "as" and len(values) != 1:
        raise Invalid("FROM requires either one or three arguments")
    if as_word and not _STAGE_NAME.fullmatch(written.lower()):
        raise Invalid(
            f"invalid name for build stage: {quote(written)}, name can't start with a number or contain symbols"
        )
    platform = flags.read(node.flags, {"platform": "string"}).text("platform")
    return From(_source(node), values[0], written.lower(), platform, written, as_word)


def _arg(node: Node) -> Arg:
    pairs: list[tuple[str, str | None]] = []
    for word in _some(node):
        name, equals, value = word.partition("=")
        if equals and not name:
            raise Invalid("ARG names can not be blank")
        pairs.append((name, value if equals else None))
    return Arg(_source(node), tuple(pairs))


def _env(node: Node) -> Env:
    return Env(_source(node), _pairs(node))


def _label(node: Node) -> Label:
    return Label(_source(node), _pairs(node))


def _maintainer(node: Node) -> Maintainer:
    value = _one(node)
    _no_flags(node)
    return Maintainer(_source(node), value)


_COPY_FLAGS: dict[str, flags.Kind] = {
    "chown": "string",
    "chmod": "string",
    "link": "bool",
    "exclude": "list",
    "from": "string",
    "parents": "bool",
}
_ADD_FLAGS: dict[str, flags.Kind] = {
    "chown": "string",
    "chmod": "string",
    "link": "bool",
    "exclude": "list",
    "keep-git-dir": "bool",
    "checksum": "string",
    "unpack": "bool",
}


def _copy(node: Node) -> Copy:
    name, values = node.name.upper(), _values(node)
    if len(values) < 2:
        raise Invalid(
            f"{name} requires at least two arguments, but only one was provided. Destination could not be determined"
        )
    is_add = node.name == "add"
    given = flags.read(node.flags, _ADD_FLAGS if is_add else _COPY_FLAGS)
    destination = values[-1]
    if _opens_heredoc(node, destination) is not None:
        raise Invalid(f"{name} cannot accept a heredoc as a destination")
    sources: list[str] = []
    inline: list[Heredoc] = []
    bodies = {body.name: body for body in node.heredocs}
    for value in values[:-1]:
        opened = _opens_heredoc(node, value)
        if opened is None:
            sources.append(value)
        else:
            inline.append(bodies.get(opened.name, opened))
    return Copy(
        _source(node),
        tuple(sources),
        tuple(inline),
        destination,
        is_add=is_add,
        origin=given.text("from"),
        chown=given.text("chown"),
        chmod=given.text("chmod"),
        link=given.is_set("link"),
        parents=given.is_set("parents"),
        excludes=given.all("exclude"),
        checksum=given.text("checksum"),
        keep_git_dir=given.bools.get("keep-git-dir"),
        unpack=given.bools.get("unpack"),
    )


def _opens_heredoc(node: Node, word: str) -> Heredoc | None:
    """What is no well-formed heredoc is a path."""
    if node.arguments.is_json:
        return None
    try:
        return heredoc.parse(word)
    except Invalid:
        return None


def _run(node: Node) -> Run:
    given = flags.read(node.flags, {"mount": "list", "network": "string", "security": "string"})
    network, security = given.text("network", "default"), given.text("security", "sandbox")
    if network not in NETWORKS:
        raise Invalid(f"invalid network mode {quote(network)}")
    if security not in SECURITY:
        raise Invalid(f"security {quote(security)} is not valid")
    for mount in given.all("mount"):
        runmount.origin_of(mount)
        if "$" not in mount:
            runmount.parse(mount, str)
    return Run(_source(node), _command_line(node), given.all("mount"), network, security)


def _cmd(node: Node) -> Cmd:
    _no_flags(node)
    return Cmd(_source(node), _command_line(node))


def _entrypoint(node: Node) -> Entrypoint:
    _no_flags(node)
    return Entrypoint(_source(node), _command_line(node))


def _healthcheck(node: Node) -> Healthcheck:
    values = _some(node)
    kind, args = values[0].upper(), values[1:]
    if kind == "NONE":
        if args:
            raise Invalid("HEALTHCHECK NONE takes no arguments")
        return Healthcheck(_source(node), ("NONE",))
    given = flags.read(
        node.flags,
        {
            "interval": "string",
            "timeout": "string",
            "start-period": "string",
            "start-interval": "string",
            "retries": "string",
        },
    )
    if kind != "CMD":
        raise Invalid(f"Unknown type {quote(kind)} in HEALTHCHECK (try CMD)")
    if not args:
        raise Invalid("Missing command after HEALTHCHECK CMD")
    test = ("CMD", *args) if node.arguments.is_json else ("CMD-SHELL", " ".join(args))
    return Healthcheck(
        _source(node),
        test,
        _interval("interval", given.text("interval")),
        _interval("timeout", given.text("timeout")),
        _interval("start-period", given.text("start-period")),
        _interval("start-interval", given.text("start-interval")),
        _retries(given.text("retries")),
    )


def _interval(name: str, text: str) -> int:
    duration = parse_duration(text) if text else 0
    if duration and duration < MIN_INTERVAL:
        raise Invalid(f"Interval {quote(name)} cannot be less than 1ms")
    return duration


def _retries(text: str) -> int:
    if not text:
        return 0
    if not re.fullmatch(r"[+-]?[0-9]{1,10}", text) or abs(int(text)) >= 1 << 31:
        raise Invalid(f"strconv.ParseInt: parsing {quote(text)}: invalid syntax")
    if int(text) < 0:
        raise Invalid(f"--retries cannot be negative ({int(text)})")
    return int(text)


def _expose(node: Node) -> Expose:
    ports = _some(node)
    _no_flags(node)
    return Expose(_source(node), tuple(sorted(ports)))


def _volume(node: Node) -> Volume:
    values = _some(node)
    _no_flags(node)
    paths = tuple(trim(value) for value in values)
    if not all(paths):
        raise Invalid("VOLUME specified can not be an empty string")
    return Volume(_source(node), paths)


def _user(node: Node) -> User:
    value = _one(node)
    _no_flags(node)
    return User(_source(node), value)


def _workdir(node: Node) -> Workdir:
    value = _one(node)
    _no_flags(node)
    return Workdir(_source(node), value)


def _stopsignal(node: Node) -> Stopsignal:
    return Stopsignal(_source(node), _one(node))


def _shell(node: Node) -> Shell:
    _no_flags(node)
    values = _some(node)
    if not node.arguments.is_json:
        raise Invalid("SHELL requires the arguments to be in JSON form")
    return Shell(_source(node), values)


def _onbuild(node: Node) -> Onbuild:
    if node.trigger is None:
        raise Invalid("ONBUILD requires at least one argument")
    _no_flags(node)
    trigger = node.trigger.name.upper()
    if trigger == "ONBUILD":
        raise Invalid("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if trigger in ("MAINTAINER", "FROM"):
        raise Invalid(f"{trigger} isn't allowed as an ONBUILD trigger")
    expression = _ONBUILD.sub("", node.original)
    for body in node.heredocs:
        expression += f"\n{body.content}{body.name}"
    return Onbuild(_source(node), expression)


_READERS: dict[str, Callable[[Node], Instruction]] = {
    "add": _copy,
    "arg": _arg,
    "cmd": _cmd,
    "copy": _copy,
    "entrypoint": _entrypoint,
    "env": _env,
    "expose": _expose,
    "from": _from,
    "healthcheck": _healthcheck,
    "label": _label,
    "maintainer": _maintainer,
    "onbuild": _onbuild,
    "run": _run,
    "shell": _shell,
    "stopsignal": _stopsignal,
    "user": _user,
    "volume": _volume,
    "workdir": _workdir,
}
