"""``--volume``, ``--mount``, ``--tmpfs``: what is mounted into a container.

Owns: their grammars and the API's shapes.  The daemon judges whether sources exist.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from corten.cli import values
from corten.cli.flags import FlagError
from corten.errors import Invalid

_SPELLINGS = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly"}
_FLAGS = frozenset({"readonly", "volume-nocopy", "bind-nonrecursive"})
_TYPES = frozenset({"bind", "volume", "tmpfs", "npipe", "image", "cluster"})


def binds_and_volumes(words: Iterable[str]) -> tuple[list[str], dict[str, dict[str, str]]]:
    """``source:target[:options]`` words and the anonymous volumes among ``--volume``."""
    binds: list[str] = []
    anonymous: dict[str, dict[str, str]] = {}
    for word in words:
        source, colon, rest = _split_source(word)
        if not colon:
            if not word:
                raise Invalid("invalid empty volume spec")
            anonymous[word] = {}
        else:
            binds.append(f"{_absolute(source)}:{rest}")
    return binds, anonymous


def _split_source(word: str) -> tuple[str, str, str]:
    # a drive letter of Windows is no source of its own
    if len(word) > 2 and word[1] == ":" and word[0].isalpha() and word[2] in "/\\":
        head, colon, rest = word[2:].partition(":")
        return word[:2] + head, colon, rest
    return word.partition(":")


def _absolute(source: str) -> str:
    if source in (".", "..") or source.startswith(("./", "../", ".\\", "..\\")):
        return os.path.abspath(source)
    if source == "~" or source.startswith("~/"):
        return os.path.expanduser(source)
    return source


def tmpfs(words: Iterable[str]) -> dict[str, str]:
    """``/path[:options]`` words."""
    found: dict[str, str] = {}
    for word in words:
        path, _, options = word.partition(":")
        found[path] = options
    return found


def parse(word: str) -> dict[str, Any]:
    """A mount of the API from ``type=bind,source=…,target=…``; raises FlagError."""
    try:
        return _parse(word)
    except Invalid as error:
        raise FlagError(f'invalid argument "{word}" for "--mount" flag: {error}') from error


def _parse(word: str) -> dict[str, Any]:
    fields: dict[str, str] = {}
    lists: dict[str, dict[str, str]] = {"volume-label": {}, "volume-opt": {}}
    for part in values.split_csv(word):
        name, equals, value = part.partition("=")
        name = _SPELLINGS.get(name.strip().lower(), name.strip().lower())
        if not equals and name not in _FLAGS:
            raise Invalid(f"invalid field '{part}' must be a key=value pair")
        if name in lists:
            inner, _, text = value.partition("=")
            lists[name][inner] = text
        elif name in _FLAGS:
            fields[name] = "true" if not equals or _bool(name, value) else "false"
        else:
            fields[name] = value
    if not word:
        raise Invalid("value is empty")
    mount: dict[str, Any] = {"Type": fields.pop("type", "volume").lower()}
    if mount["Type"] not in _TYPES:
        raise Invalid(f"invalid mount type {mount['Type']!r}")
    if not fields.get("target"):
        raise Invalid("target is required")
    mount["Target"] = fields.pop("target")
    if source := fields.pop("source", ""):
        mount["Source"] = _absolute(source) if mount["Type"] == "bind" else source
    if fields.pop("readonly", "false") == "true":
        mount["ReadOnly"] = True
    if consistency := fields.pop("consistency", ""):
        mount["Consistency"] = consistency
    _options(mount, fields, lists)
    if fields:
        raise Invalid(f"unexpected key '{next(iter(fields))}' in '{word}'")
    return mount


def _options(mount: dict[str, Any], fields: dict[str, str], lists: dict[str, dict[str, str]]) -> None:
    """The options of the mount's own kind; raises Invalid for those of another."""
    kind = mount["Type"]
    for name in list(fields):
        owner = name.partition("-")[0]
        if owner in ("bind", "volume", "tmpfs", "image") and owner != kind:
            raise Invalid(f"cannot mix '{owner}-*' options with mount type '{kind}'")
    if (lists["volume-label"] or lists["volume-opt"]) and kind not in ("volume", "cluster"):
        raise Invalid(f"cannot mix 'volume-*' options with mount type '{kind}'")
    options: dict[str, Any] = {}
    if kind == "bind":
        options = _bind_options(fields)
    elif kind == "volume":
        options = _volume_options(fields, lists)
    elif kind == "tmpfs":
        options = _tmpfs_options(fields)
    elif "image-subpath" in fields:
        options = {"Subpath": fields.pop("image-subpath")}
    if options:
        mount[f"{kind.capitalize()}Options"] = options


def _bind_options(fields: dict[str, str]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if "bind-propagation" in fields:
        options["Propagation"] = fields.pop("bind-propagation").lower()
    if fields.pop("bind-nonrecursive", "false") == "true":
        options["NonRecursive"] = True
    match fields.pop("bind-recursive", "enabled"):
        case "enabled":
            pass
        case "disabled":
            options["NonRecursive"] = True
        case "writable":
            options["ReadOnlyNonRecursive"] = True
        case "readonly":
            options["ReadOnlyForceRecursive"] = True
        case other:
            raise Invalid(
                f'invalid value for bind-recursive: {other} (must be "enabled", "disabled", "writable", or "readonly")'
            )
    return options


def _volume_options(fields: dict[str, str], lists: dict[str, dict[str, str]]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if fields.pop("volume-nocopy", "false") == "true":
        options["NoCopy"] = True
    if "volume-subpath" in fields:
        options["Subpath"] = fields.pop("volume-subpath")
    if lists["volume-label"]:
        options["Labels"] = lists["volume-label"]
    driver = fields.pop("volume-driver", "")
    if driver or lists["volume-opt"]:
        options["DriverConfig"] = {"Name": driver, "Options": lists["volume-opt"]}
    return options


def _tmpfs_options(fields: dict[str, str]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if "tmpfs-size" in fields:
        options["SizeBytes"] = values.parse_bytes(fields.pop("tmpfs-size"))
    if "tmpfs-mode" in fields:
        text = fields.pop("tmpfs-mode")
        try:
            options["Mode"] = int(text, 8)
        except ValueError as error:
            raise Invalid(f"invalid value for tmpfs-mode: {text}") from error
    return options


def _bool(name: str, value: str) -> bool:
    try:
        return values.parse_bool(value)
    except Invalid as error:
        raise Invalid(f"invalid value for {name}: {value}") from error
