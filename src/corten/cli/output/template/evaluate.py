"""A parsed template over JSON values.

Owns: fields, variables, truth, ranges, how a value prints.  Functions are in functions.py.
A mapping may hold callables: ``{{.Label "name"}}`` calls the value under ``Label``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from corten.cli.output.template.functions import FUNCTIONS, show, truth
from corten.cli.output.template.lex import TemplateError, escapes
from corten.cli.output.template.parse import Block, Leave, Node, Operand, Pipe, Print, Text, parse


class Missing:
    """What an absent key is worth in a template that tolerates it; prints as Go prints it."""

    def __repr__(self) -> str:
        return "<no value>"

    def __bool__(self) -> bool:
        return False


MISSING = Missing()


class _Break(Exception):
    pass


class _Continue(Exception):
    pass


class Template:
    """A template that has been read once and can be applied to many values."""

    def __init__(self, text: str, *, strict: str = "") -> None:
        """``strict`` is the end of the sentence that refuses an absent field; empty tolerates it."""
        self._nodes = parse(escapes(text), FUNCTIONS)
        self._strict = strict

    def render(self, value: Any) -> str:
        """The text for a value; raises TemplateError."""
        out: list[str] = []
        self._walk(self._nodes, value, [{"$": value}], out)
        return "".join(out)

    def _walk(self, nodes: Iterable[Node], dot: Any, scopes: list[dict[str, Any]], out: list[str]) -> None:
        for node in nodes:
            if isinstance(node, Text):
                out.append(node.text)
            elif isinstance(node, Print):
                value = self._pipe(node.pipe, dot, scopes)
                if not node.pipe.variables:
                    out.append(show(value))
            elif isinstance(node, Leave):
                raise _Break if node.kind == "break" else _Continue
            else:
                self._block(node, dot, [*scopes, {}], out)

    def _block(self, block: Block, dot: Any, scopes: list[dict[str, Any]], out: list[str]) -> None:
        if block.kind == "range":
            self._range(block, dot, scopes, out)
            return
        value = self._pipe(block.pipe, dot, scopes)
        if truth(value):
            self._walk(block.body, value if block.kind == "with" else dot, scopes, out)
        else:
            self._walk(block.otherwise, dot, scopes, out)

    def _range(self, block: Block, dot: Any, scopes: list[dict[str, Any]], out: list[str]) -> None:
        values = self._pipe(block.pipe._replace(variables=()), dot, scopes)
        pairs = _pairs(values)
        if not pairs:
            self._walk(block.otherwise, dot, scopes, out)
        for key, item in pairs:
            names = block.pipe.variables
            bound = dict(zip(names, (key, item) if len(names) > 1 else (item,), strict=False))
            try:
                self._walk(block.body, item, [*scopes, bound], out)
            except _Continue:
                continue
            except _Break:
                break

    def _pipe(self, pipe: Pipe, dot: Any, scopes: list[dict[str, Any]]) -> Any:
        value: Any = None
        for at, command in enumerate(pipe.commands):
            last = () if at == 0 else (value,)
            value = self._command(command, dot, scopes, last)
        for name in pipe.variables:
            target = scopes[-1] if pipe.declares else next((s for s in reversed(scopes) if name in s), scopes[-1])
            target[name] = value
        return value

    def _command(
        self, command: tuple[Operand, ...], dot: Any, scopes: list[dict[str, Any]], last: tuple[Any, ...]
    ) -> Any:
        first, *rest = command
        arguments = [self._operand(operand, dot, scopes) for operand in rest]
        arguments += last
        if first.kind == "name":
            function = FUNCTIONS[first.value]
            check_arguments(function, first.value, first, arguments)
            try:
                result = function(*arguments)
            except TemplateError:
                raise
            except (TypeError, ValueError, LookupError, AttributeError) as error:
                place = f'template: :1:{first.column}: executing "" at <{first.value}>'
                raise TemplateError(f"{place}: error calling {first.value}: {error}") from error
            return self._fields(result, first, ())
        value = self._operand(first, dot, scopes, tuple(arguments))
        if arguments and not first.fields:
            raise TemplateError(f"template: :1: can't give argument to non-function {show(value)}")
        return value

    def _operand(self, operand: Operand, dot: Any, scopes: list[dict[str, Any]], given: tuple[Any, ...] = ()) -> Any:
        if operand.kind == "dot":
            value = dot
        elif operand.kind == "variable":
            value = self._variable(operand.value, scopes)
        elif operand.kind == "pipe":
            value = self._pipe(operand.value, dot, scopes)
        elif operand.kind == "name":
            value = self._command((operand._replace(fields=()),), dot, scopes, ())
        else:
            value = operand.value
        return self._fields(value, operand, given)

    def _variable(self, name: str, scopes: list[dict[str, Any]]) -> Any:
        for scope in reversed(scopes):
            if name in scope:
                return scope[name]
        raise TemplateError(f'template: :1: undefined variable "{name}"')

    def _fields(self, value: Any, operand: Operand, given: tuple[Any, ...]) -> Any:
        for at, name in enumerate(operand.fields):
            value = self._field(value, name, operand)
            if callable(value):
                arguments = list(given) if at == len(operand.fields) - 1 else []
                check_arguments(value, name, operand, arguments)
                value = value(*arguments)
        return value

    def _field(self, value: Any, name: str, operand: Operand) -> Any:
        if isinstance(value, Mapping):
            if name in value:
                return value[name]
            folded = name.lower()
            for key in value:
                if isinstance(key, str) and key.lower() == folded:
                    return value[key]
            if not self._strict:
                return MISSING
            shown = "." + ".".join(operand.fields)
            sentence = self._strict.format(name=name)
            raise TemplateError(f'template: :1:{operand.column}: executing "" at <{shown}>: {sentence}')
        if value is None or value is MISSING:
            if not self._strict:
                return MISSING
            raise TemplateError(
                f'template: :1:{operand.column}: executing "" at <.{".".join(operand.fields)}>: '
                f"nil pointer evaluating interface {{}}.{name}"
            )
        raise TemplateError(
            f'template: :1:{operand.column}: executing "" at <.{".".join(operand.fields)}>: '
            f"can't evaluate field {name} in type {type(value).__name__}"
        )


def check_arguments(function: Any, name: str, operand: Operand, given: list[Any]) -> None:
    """Raise TemplateError, in Go's words, where a function is called with too few or too many."""
    code = getattr(function, "__code__", None)
    if code is None:
        return
    most = code.co_argcount
    least = most - len(function.__defaults__ or ())
    takes_more = bool(code.co_flags & 0x04)
    if len(given) < least or (len(given) > most and not takes_more):
        shown = operand.value if operand.kind == "name" else "." + ".".join(operand.fields)
        raise TemplateError(
            f'template: :1:{operand.column}: executing "" at <{shown}>: '
            f"wrong number of args for {name}: want {most} got {len(given)}"
        )


def _pairs(values: Any) -> list[tuple[Any, Any]]:
    if isinstance(values, Mapping):
        return sorted(values.items())
    if isinstance(values, list | tuple):
        return list(enumerate(values))
    if isinstance(values, int) and not isinstance(values, bool):
        return [(at, at) for at in range(values)]
    if values is None or values is MISSING:
        return []
    raise TemplateError(f"template: :1: range can't iterate over {show(values)}")
