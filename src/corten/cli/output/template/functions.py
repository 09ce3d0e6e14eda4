"""What a pipeline of a template may call: Go's built-in functions and Docker's own.

Owns: the table; how values are compared, printed and judged true.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from corten.cli.output.template.lex import TemplateError


def to_json(value: Any) -> str:
    """Go's JSON: compact, UTF-8, keys as they are."""
    return json.dumps(_plain(value), separators=(",", ":"), ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items() if not callable(item)}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, str | int | float):
        return value
    return None


def show(value: Any) -> str:
    """A value as Go's ``%v`` prints it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "<no value>"
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, Mapping):
        if value.keys() == {"HostIp", "HostPort"}:
            # docker: the one struct that people print whole, in {{.NetworkSettings.Ports}}
            return f"{{{value['HostIp']} {value['HostPort']}}}"
        return "map[" + " ".join(f"{key}:{_inner(item)}" for key, item in sorted(value.items())) + "]"
    if isinstance(value, list | tuple):
        return "[" + " ".join(_inner(item) for item in value) + "]"
    return str(value)


def _inner(value: Any) -> str:
    return "<nil>" if value is None else show(value)


def _float(value: float) -> str:
    if value == int(value) and abs(value) < 1e21:
        return str(int(value))
    text = repr(value)
    if "e" in text:
        mantissa, _, exponent = text.partition("e")
        text = f"{mantissa}e{exponent[0] if exponent[0] in '+-' else '+'}{exponent.lstrip('+-').zfill(2)}"
    return text


def truth(value: Any) -> bool:
    """Go's truth: not the zero value, not empty."""
    return bool(value)


def _and(*values: Any) -> Any:
    return next((value for value in values if not truth(value)), values[-1])


def _or(*values: Any) -> Any:
    return next((value for value in values if truth(value)), values[-1])


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(value, Mapping):
            # Go gives the zero value of an absent key; what type it would have is not known here.
            value = value.get(key, "")
        elif isinstance(value, list | tuple | str) and isinstance(key, int):
            if not 0 <= key < len(value):
                raise TemplateError(f"error calling index: reflect: slice index out of range: {key}")
            value = value[key]
        elif value is None or value == "":
            raise TemplateError("error calling index: index of untyped nil")
        else:
            raise TemplateError(f"error calling index: can't index item of type {type(value).__name__}")
    return value


def _slice(value: Any, start: int = 0, end: int | None = None) -> Any:
    return value[start : len(value) if end is None else end]


def _length(value: Any) -> int:
    if value is None:
        raise TemplateError("error calling len: len of nil pointer")
    if not isinstance(value, str | list | tuple | Mapping):
        raise TemplateError(f"error calling len: len of type {type(value).__name__}")
    return len(value.encode()) if isinstance(value, str) else len(value)


def _join(values: Any, separator: str = "") -> str:
    return separator.join(show(value) for value in values or ())


def _pad(text: str, before: int, after: int) -> str:
    return " " * before + text + " " * after if text else text


def _truncate(text: str, length: int) -> str:
    return text[:length]


def _printf(form: str, *values: Any) -> str:
    """Go's verbs by Python's: %v %s %d %q %t %f %x and widths."""
    out: list[str] = []
    rest = list(values)
    at = 0
    while at < len(form):
        if form[at] != "%":
            out.append(form[at])
            at += 1
            continue
        end = at + 1
        while end < len(form) and form[end] in "-+# 0123456789.":
            end += 1
        verb = form[end : end + 1]
        flags = form[at + 1 : end]
        at = end + 1
        if verb == "%":
            out.append("%")
        elif not rest:
            out.append(f"%!{verb}(MISSING)")
        else:
            out.append(_verb(verb, flags, rest.pop(0)))
    if rest:
        out.append("%!(EXTRA " + ", ".join(show(value) for value in rest) + ")")
    return "".join(out)


def _verb(verb: str, flags: str, value: Any) -> str:
    if verb in "vst":
        return f"%{flags}s" % show(value)
    if verb == "q":
        return f"%{flags}s" % json.dumps(show(value), ensure_ascii=False)
    if verb in "dxXofegEGc":
        try:
            return str(f"%{flags}{verb}" % value)
        except TypeError:
            return f"%!{verb}({show(value)})"
    return f"%!{verb}({show(value)})"


def _println(*values: Any) -> str:
    return " ".join(show(value) for value in values) + "\n"


def _print(*values: Any) -> str:
    # Go puts a space between two operands when neither is a string.
    out = ""
    for at, value in enumerate(values):
        if at and not isinstance(value, str) and not isinstance(values[at - 1], str):
            out += " "
        out += show(value)
    return out


def _title(text: str) -> str:
    return " ".join(word[:1].upper() + word[1:] for word in text.split(" "))


def _split(text: str, separator: str) -> list[str]:
    return text.split(separator) if separator else list(text)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "and": _and,
    "eq": lambda first, *others: any(first == other for other in others),
    "ge": lambda a, b: a >= b,
    "gt": lambda a, b: a > b,
    "html": lambda *v: _print(*v).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&#34;"),
    "index": _index,
    "join": _join,
    "js": lambda *v: json.dumps(_print(*v))[1:-1],
    "json": to_json,
    "le": lambda a, b: a <= b,
    "len": _length,
    "lower": lambda text: text.lower(),
    "lt": lambda a, b: a < b,
    "ne": lambda a, b: a != b,
    "not": lambda value: not truth(value),
    "or": _or,
    "pad": _pad,
    "print": _print,
    "printf": _printf,
    "println": _println,
    "slice": _slice,
    "split": _split,
    "table": lambda: "",
    "title": _title,
    "truncate": _truncate,
    "upper": lambda text: text.upper(),
}
