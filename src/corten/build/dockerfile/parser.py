"""Text to nodes: one node an instruction, with its lines, flags, arguments, heredocs and comments.

Knows how each instruction's arguments are written (the table below), not what they mean: read instructions.py next.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from corten.build.dockerfile import heredoc, split
from corten.build.dockerfile.failures import DockerfileError, Location
from corten.build.dockerfile.go import quote
from corten.build.dockerfile.heredoc import Heredoc
from corten.build.dockerfile.lines import Directive, LineReader, LogicalLine
from corten.build.dockerfile.split import Arguments
from corten.errors import Invalid

NOTATIONS: dict[str, Callable[[str, str], Arguments]] = {
    "add": lambda text, _: split.json_or_blank_separated(text),
    "arg": split.names_or_values,
    "cmd": lambda text, _: split.json_or_whole(text),
    "copy": lambda text, _: split.json_or_blank_separated(text),
    "entrypoint": lambda text, _: split.json_or_whole(text),
    "env": lambda text, escape: split.name_values(text, "ENV", escape),
    "expose": lambda text, _: split.blank_separated(text),
    "from": lambda text, _: split.blank_separated(text),
    "healthcheck": lambda text, _: split.health(text),
    "label": lambda text, escape: split.name_values(text, "LABEL", escape),
    "maintainer": lambda text, _: split.whole(text),
    "run": lambda text, _: split.json_or_whole(text),
    "shell": lambda text, _: split.json_or_whole(text),
    "stopsignal": lambda text, _: split.whole(text),
    "user": lambda text, _: split.whole(text),
    "volume": lambda text, _: split.json_or_blank_separated(text),
    "workdir": lambda text, _: split.whole(text),
}
"""How each instruction writes its arguments; ONBUILD, which holds another instruction, is apart."""

INSTRUCTIONS = frozenset(NOTATIONS) | {"onbuild"}
WITH_HEREDOCS = frozenset({"add", "copy", "run"})
MAX_ONBUILD = 16


@dataclass(frozen=True, slots=True)
class Node:
    """One instruction as written.  ``keyword`` keeps its case; ``trigger`` is what ONBUILD holds."""

    keyword: str
    arguments: Arguments
    flags: tuple[str, ...]
    original: str
    location: Location
    comments: tuple[str, ...] = ()
    heredocs: tuple[Heredoc, ...] = ()
    trigger: Node | None = None

    @property
    def name(self) -> str:
        return self.keyword.lower()

    def can_open_heredocs(self) -> bool:
        node = self.trigger if self.trigger is not None else self
        return node.name in WITH_HEREDOCS and not node.arguments.is_json

    def dump(self) -> str:
        """The node as an s-expression, for golden files and ``debug``."""
        out = self.name
        if self.flags:
            out += " [" + " ".join(quote(flag) for flag in self.flags) + "]"
        if self.trigger is not None:
            return f"{out} ({self.trigger.dump()})"
        return "".join([out, *(f" {quote(value)}" for value in self.arguments.values)])


@dataclass(frozen=True, slots=True)
class Warning:
    """Something the parser saw that will be an error some day."""

    message: str
    location: Location


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """A parsed file."""

    nodes: tuple[Node, ...]
    escape: str
    directives: dict[str, Directive]
    warnings: tuple[Warning, ...]

    def dump(self) -> str:
        return "".join(f"({node.dump()})\n" for node in self.nodes)


def parse(source: str | bytes) -> Dockerfile:
    """Parse a Dockerfile.  Raises DockerfileError with the lines at fault; never anything else."""
    text = source.decode("utf-8", "replace") if isinstance(source, bytes) else source
    reader = LineReader(text)
    nodes: list[Node] = []
    warnings: list[Warning] = []
    while (line := reader.logical()) is not None:
        if line.has_empty_continuation:
            warnings.append(Warning(f"Empty continuation line found in: {line.text}", Location(line.end, line.end)))
        nodes.append(_complete(_located(line, reader.escape), line, reader))
    if not nodes:
        raise DockerfileError("file with no instructions", Location(reader.number, reader.number))
    return Dockerfile(tuple(nodes), reader.escape, reader.directives, tuple(warnings))


def parse_line(text: str, escape: str = "\\") -> Node:
    """One instruction by itself: an ONBUILD trigger, or a ``--change`` of commit and import."""
    return parse(f"# escape={escape}\n{text}").nodes[0] if escape != "\\" else parse(text).nodes[0]


def _located(line: LogicalLine, escape: str) -> Node:
    location = Location(line.start, line.end)
    try:
        return _node(line.text, escape, location, line.comments)
    except DockerfileError:
        raise
    except Invalid as failure:
        raise DockerfileError(failure.message, location) from None


def _node(text: str, escape: str, location: Location, comments: tuple[str, ...], depth: int = 0) -> Node:
    keyword, flags, rest = split.command(text, escape)
    name = keyword.lower()
    if name == "onbuild":
        if depth >= MAX_ONBUILD:
            raise Invalid("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
        trigger = _node(rest, escape, location, (), depth + 1) if rest else None
        return Node(keyword, Arguments(), flags, text, location, comments, trigger=trigger)
    notation = NOTATIONS.get(name)
    arguments = notation(rest, escape) if notation else Arguments()
    return Node(keyword, arguments, flags, text, location, comments)


def _complete(node: Node, line: LogicalLine, reader: LineReader) -> Node:
    """Take the bodies of the heredocs that the line opened, if any."""
    if "<<" not in line.text or not node.can_open_heredocs():
        return node
    try:
        opened = heredoc.find(line.text)
    except Invalid as failure:
        raise DockerfileError(failure.message, node.location) from None
    bodies: list[Heredoc] = []
    for document in opened:
        content: list[str] = []
        while (physical := reader.raw()) is not None and not document.ends_with(physical):
            content.append(physical)
        if physical is None:
            raise DockerfileError("unterminated heredoc", Location(line.start, reader.number))
        bodies.append(document.with_content("".join(content)))
    location = Location(line.start, reader.number)
    trigger = replace(node.trigger, heredocs=tuple(bodies), location=location) if node.trigger else None
    return replace(node, heredocs=tuple(bodies), location=location, trigger=trigger)
