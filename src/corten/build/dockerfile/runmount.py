"""``RUN --mount=...``: the comma-separated fields as a value.

Pure.  What the fields do is decided in steps/runmounts.py.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from corten.build.dockerfile.go import parse_bool, quote
from corten.build.dockerfile.suggest import with_suggestion
from corten.errors import Invalid

TYPES = ("bind", "cache", "tmpfs", "secret", "ssh")
SHARINGS = ("shared", "private", "locked")
KEYS = {
    "type": "type",
    "from": "origin",
    "source": "source",
    "src": "source",
    "target": "target",
    "dst": "target",
    "destination": "target",
    "readonly": "readonly",
    "ro": "readonly",
    "readwrite": "readwrite",
    "rw": "readwrite",
    "required": "required",
    "size": "size",
    "id": "id",
    "sharing": "sharing",
    "mode": "mode",
    "uid": "uid",
    "gid": "gid",
    "env": "env",
}
_BARE = frozenset({"readonly", "readwrite", "required"})
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kmgtp]?)i?b?", re.IGNORECASE | re.ASCII)

Expander = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class RunMount:
    """One mount of a RUN.  ``mode``, ``uid``, ``gid`` are None where not given; ``env`` "" means the default name."""

    type: str = "bind"
    origin: str = ""
    source: str = ""
    target: str = ""
    readonly: bool = True
    size: int = 0
    id: str = ""
    sharing: str = ""
    required: bool = False
    env: str | None = None
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None


def origin_of(text: str) -> str:
    """The stage or image that a mount as written comes from: known before any variable is."""
    for field in _fields(text):
        key, _, value = field.partition("=")
        if key.lower() == "from":
            if "$" in value[:-1]:
                raise Invalid("'from' doesn't support variable expansion, define alias stage instead")
            return value
    return ""


def parse(text: str, expand: Expander) -> RunMount:
    """The mount with its variables expanded."""
    values: dict[str, Any] = {"type": "bind"}
    for field in _fields(text):
        written, equals, value = field.partition("=")
        key = KEYS.get(written.lower())
        if not equals and key not in _BARE:
            raise Invalid(f"invalid field '{field}' must be a key=value pair")
        if key is None:
            raise Invalid(with_suggestion(f"unexpected key '{written.lower()}' in '{field}'", written.lower(), KEYS))
        values[key] = _value(key, written.lower(), expand(value) if equals else "true", values["type"])
    if "readwrite" in values:
        values["readonly"] = not values.pop("readwrite")
    values.setdefault("readonly", values["type"] not in ("cache", "tmpfs"))
    mount = RunMount(**values)
    _check(mount)
    return mount


def _value(key: str, written: str, value: str, kind: str) -> Any:
    wrong = Invalid(f"invalid value for {written}: {value}")
    if key == "type":
        return _one_of(value, TYPES, "unsupported mount type")
    if key == "sharing":
        return _one_of(value, SHARINGS, "unsupported sharing value")
    if (key == "required" and kind not in ("secret", "ssh")) or (key == "size" and kind != "tmpfs"):
        raise Invalid(f"unexpected key '{written}' for mount type '{kind}'")
    if key in _BARE:
        flag = parse_bool(value)
        if flag is None:
            raise wrong
        return flag
    if key == "size":
        size = parse_size(value)
        if size is None:
            raise wrong
        return size
    if key in ("mode", "uid", "gid"):
        return _number(key, value)
    return value


def _one_of(value: str, allowed: tuple[str, ...], complaint: str) -> str:
    if value.lower() not in allowed:
        raise Invalid(with_suggestion(f"{complaint} {quote(value)}", value, allowed))
    return value.lower()


def _number(key: str, value: str) -> int:
    digits = "01234567" if key == "mode" else "0123456789"
    number = int(value, len(digits)) if value and len(value) < 12 and not value.strip(digits) else -1
    if not 0 <= number < 1 << 32:
        raise Invalid(f"invalid value {value} for {key}")
    return number


def parse_size(text: str) -> int | None:
    """``64m`` and the like, in bytes; None where it is none."""
    match = _SIZE.fullmatch(text)
    if match is None or len(match[1]) > 18:
        return None
    power = " kmgtp".index(match[2].lower()) if match[2] else 0
    return int(float(match[1]) * 1024**power)


def _check(mount: RunMount) -> None:
    kind = mount.type
    if kind not in ("secret", "ssh", "cache"):
        for key in ("mode", "uid", "gid"):
            if getattr(mount, key) is not None:
                raise Invalid(f'{key} not allowed for "{kind}" type mounts')
    if kind == "secret":
        if mount.origin:
            raise Invalid("secret mount should not have a from")
        if mount.sharing:
            raise Invalid("secret mount should not define sharing")
        if not (mount.source or mount.target or mount.id):
            raise Invalid("invalid secret mount. one of source, target required")
        if mount.source and mount.id:
            raise Invalid("both source and id can't be set")
    if mount.sharing and kind != "cache":
        raise Invalid(f"invalid cache sharing set for {kind} mount")


def _fields(text: str) -> list[str]:
    try:
        rows = list(csv.reader([text], strict=True))
    except csv.Error as failure:
        raise Invalid(f"failed to parse csv mounts: {failure}") from None
    return rows[0] if rows else []
