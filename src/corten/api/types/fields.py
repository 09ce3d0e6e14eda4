"""A body as a table of fields: the kind of each, its value when absent, and whether it is left out when empty.

Owns: reading a JSON object by such a table, as Go's decoder would: unknown names ignored, case of names ignored, a
wrong kind refused in its words.  Knows no particular body.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from corten.errors import Invalid


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -(1 << 63) <= value < 1 << 63


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_text_or_texts(value: Any) -> bool:
    return isinstance(value, str) or _is_texts(value)


def _is_text_map(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(item, str) for item in value.values())


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def _is_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(_is_number(item) for item in value)


@dataclass(frozen=True, slots=True)
class Kind:
    """What a field may hold, and Go's name for it."""

    go: str
    holds: Callable[[Any], bool]


TEXT = Kind("string", _is_text)
NUMBER = Kind("int64", _is_number)
FLAG = Kind("bool", _is_flag)
TEXTS = Kind("[]string", _is_texts)
TEXT_OR_TEXTS = Kind("[]string", _is_text_or_texts)
TEXT_MAP = Kind("map[string]string", _is_text_map)
OBJECT = Kind("object", _is_object)
OBJECTS = Kind("[]object", _is_objects)
NUMBERS = Kind("[]uint", _is_numbers)


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a body."""

    kind: Kind
    default: Any = None
    omit_empty: bool = False


Table = Mapping[str, Field]

_JSON_WORDS = {str: "string", bool: "bool", int: "number", float: "number", list: "array", dict: "object"}


def read(body: Mapping[str, Any], table: Table, struct: str) -> dict[str, Any]:
    """Every field of the table, from ``body`` or by default; raises Invalid where a value is of another kind."""
    given = {name.lower(): value for name, value in body.items()}
    values: dict[str, Any] = {}
    for name, item in table.items():
        value = given.get(name.lower())
        if value is None:
            values[name] = copy.copy(item.default)
        elif item.kind.holds(value):
            values[name] = [value] if item.kind is TEXT_OR_TEXTS and isinstance(value, str) else value
        else:
            word = _JSON_WORDS.get(type(value), "value")
            raise Invalid(
                f"json: cannot unmarshal {word} into Go struct field {struct}.{name} of type {item.kind.go}",
            )
    return values


def check(body: Any, table: Table, struct: str) -> None:
    """Raise Invalid where ``read`` would; what may be left as it came is not filled in."""
    if not isinstance(body, Mapping):
        word = _JSON_WORDS.get(type(body), "value")
        raise Invalid(f"json: cannot unmarshal {word} into Go value of type {struct}")
    read(body, table, struct)


def show(values: Mapping[str, Any], table: Table) -> dict[str, Any]:
    """The body as Docker prints it: fields in order, those left out that are empty and may be."""
    shown: dict[str, Any] = {}
    for name, item in table.items():
        value = values.get(name, item.default)
        if value or not item.omit_empty:
            shown[name] = value
    return shown
