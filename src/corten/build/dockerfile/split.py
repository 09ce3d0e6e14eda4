"""How the text after an instruction's name becomes its flags and arguments.  Pure; one function a notation.

Read next: parser.py, whose table says which instruction uses which notation.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from corten.build.dockerfile.go import SPACES, is_space, quote, trim
from corten.errors import Invalid

BLANKS = re.compile(r"[\t\v\f\r ]+")


@dataclass(frozen=True, slots=True)
class Arguments:
    """``is_json`` tells the exec form from the shell form."""

    values: tuple[str, ...] = ()
    is_json: bool = False


def command(line: str, escape: str) -> tuple[str, tuple[str, ...], str]:
    """An instruction's name, its flags as written, and the rest."""
    name, *rest = BLANKS.split(trim(line), maxsplit=1)
    if not rest:
        return name, (), ""
    found, remainder = flags(rest[0], escape)
    return name, found, trim(remainder)


def flags(text: str, escape: str) -> tuple[tuple[str, ...], str]:
    """The leading ``--words`` (quotes taken off) and what follows; ``--`` alone ends them."""
    found: list[str] = []
    position = 0
    while True:
        while position < len(text) and is_space(text[position]):
            position += 1
        if not text.startswith("--", position):
            return tuple(found), text[position:]
        word, position, was_quoted = _flag(text, position, escape)
        if word == "--":
            return tuple(found), text[position:]
        if word or was_quoted:
            found.append(word)


def _flag(text: str, position: int, escape: str) -> tuple[str, int, bool]:
    out: list[str] = []
    quoted_by, was_quoted = "", False
    while position < len(text):
        char = text[position]
        if not quoted_by and is_space(char):
            break
        position += 1
        if char == quoted_by:
            quoted_by = ""
        elif not quoted_by and char in "'\"":
            quoted_by, was_quoted = char, True
        elif char == escape:
            out.append(text[position : position + 1])  # an escape at the very end is dropped
            position += 1
        else:
            out.append(char)
    return "".join(out), position, was_quoted


def words(text: str, escape: str) -> list[str]:
    """Words parted by spaces, quotes and escapes kept as written (expansion takes them off later)."""
    found: list[str] = []
    current, quoted_by, is_open = "", "", False
    position = 0
    while position < len(text):
        char = text[position]
        position += 1
        if not quoted_by and is_space(char):
            if is_open:
                found.append(current)
            current, is_open = "", False
            continue
        if char == escape and quoted_by != "'":
            if position == len(text):
                break  # an escape at the very end is dropped
            current += char + text[position]
            position += 1
            is_open = True
            continue
        if quoted_by:
            quoted_by = "" if char == quoted_by else quoted_by
        elif char in "'\"":
            quoted_by = char
        current += char
        is_open = True
    if is_open:
        found.append(current)
    return found


def name_values(text: str, instruction: str, escape: str) -> Arguments:
    """ENV and LABEL: triples of name, value and "=" (or "" for the old form ``ENV name value``)."""
    found = words(text, escape)
    if not found:
        return Arguments()
    if "=" not in found[0]:
        parts = BLANKS.split(text, maxsplit=1)
        if len(parts) < 2:
            raise Invalid(f"{instruction} must have two arguments")
        return Arguments((parts[0], parts[1], ""))
    triples: list[str] = []
    for word in found:
        name, equals, value = word.partition("=")
        if not equals:
            raise Invalid(f"Syntax error - can't find = in {quote(word)}. Must be of the form: name=value")
        triples += [name, value, "="]
    return Arguments(tuple(triples))


def names_or_values(text: str, escape: str) -> Arguments:
    """ARG: ``name`` or ``name=value`` words."""
    return Arguments(tuple(words(text, escape)))


def blank_separated(text: str) -> Arguments:
    return Arguments(tuple(BLANKS.split(text))) if text else Arguments()


def whole(text: str) -> Arguments:
    return Arguments((text,)) if text else Arguments()


def json_or_whole(text: str) -> Arguments:
    """RUN, CMD, ENTRYPOINT, SHELL: a JSON array of strings, else the text as it stands."""
    values = json_array(text)
    return whole(text) if values is None else Arguments(values, True)


def json_or_blank_separated(text: str) -> Arguments:
    """ADD, COPY, VOLUME."""
    values = json_array(text)
    return blank_separated(text) if values is None else Arguments(values, True)


def health(text: str) -> Arguments:
    """HEALTHCHECK: a type, then a command in either form."""
    kind = re.match(rf"[^{re.escape(SPACES)}]*", text)
    name = kind[0] if kind else ""
    if not name:
        return Arguments()
    rest = json_or_whole(text[len(name) :].lstrip(SPACES))
    return Arguments((name, *rest.values), rest.is_json)


def json_array(text: str) -> tuple[str, ...] | None:
    """The strings of a JSON array; None where the text is no JSON array.  Raises Invalid for other members."""
    text = text.lstrip(SPACES)
    if not text.startswith("["):
        return None
    try:
        values = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None  # docker: not JSON after all, so it is the shell form
    if not all(isinstance(value, str) for value in values):
        raise Invalid("when using JSON array syntax, arrays must be comprised of strings only")
    return tuple(value.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for value in values)


def _no_constant(name: str) -> None:
    raise ValueError(name)
