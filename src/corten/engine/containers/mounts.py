"""``-v``, ``--mount``, ``--tmpfs``, ``--volumes-from`` and VOLUME become one list of mount points.

Owns: Docker's grammar of binds and mounts, which wins at one destination, and the words of refusal.  Pure: volumes are
made and host paths looked at in ``storage.py``.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from corten.api.types import fields, parts
from corten.engine.containers.model import MountPoint
from corten.errors import Invalid

PROPAGATIONS = frozenset({"private", "rprivate", "slave", "rslave", "shared", "rshared"})
_LABELS = frozenset({"z", "Z"})
_CONSISTENCY = frozenset({"consistent", "cached", "delegated"})
# What mount(8) and tmpfs(5) take; where one of them is new, an older kernel says so at the start.
_TMPFS_FLAGS = frozenset(
    {"defaults", "ro", "rw", "suid", "nosuid", "dev", "nodev", "exec", "noexec", "sync", "async", "dirsync", "remount"}
    | {"atime", "noatime", "diratime", "nodiratime", "relatime", "norelatime", "strictatime", "nostrictatime"}
    | {"private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable", "runbindable"}
    | {"mand", "nomand", "noswap", "inode32", "inode64"}
)
_TMPFS_DATA = frozenset({"size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol", "huge"})
_VOLUME_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*\Z")


def collect(
    config: Mapping[str, Any],
    host: Mapping[str, Any],
    mounts_of: Callable[[str], Iterable[MountPoint]],
) -> list[MountPoint]:
    """Every mount point of a container, by destination; ``mounts_of`` answers for ``--volumes-from``."""
    points: dict[str, MountPoint] = {}
    for text in host["VolumesFrom"] or ():
        for point in _volumes_from(text, mounts_of):
            points[point.destination] = point
    given: set[str] = set()
    for text in host["Binds"] or ():
        _claim(given, point := parse_bind(text, str(host["VolumeDriver"])))
        points[point.destination] = point
    for body in host["Mounts"] or ():
        _claim(given, point := parse_mount(body))
        points[point.destination] = point
    for destination, text in (host["Tmpfs"] or {}).items():
        _check_tmpfs(text)
        _claim(given, MountPoint("tmpfs", _destination(destination)))
    for destination in config["Volumes"] or {}:
        clean = _destination(destination)
        if clean not in points and clean not in given:
            points[clean] = MountPoint("volume", clean, driver=str(host["VolumeDriver"]) or "local", anonymous=True)
    return [points[destination] for destination in sorted(points)]


def _check_tmpfs(text: str) -> None:
    for word in filter(None, text.split(",")):
        name, equals, value = word.partition("=")
        if equals and name not in _TMPFS_DATA:
            raise Invalid(f'invalid tmpfs option ["{name}" "{value}"]')
        if not equals and name not in _TMPFS_FLAGS:
            raise Invalid(f'invalid tmpfs option "{name}"')


def _claim(given: set[str], point: MountPoint) -> None:
    if point.destination in given:
        raise Invalid(f"Duplicate mount point: {point.destination}")
    given.add(point.destination)


def _destination(text: str) -> str:
    if not text.startswith("/"):
        raise Invalid(f"invalid mount path: '{text}' mount path must be absolute")
    clean = posixpath.normpath(text)
    clean = "/" + clean.lstrip("/")
    if clean == "/":
        raise Invalid("invalid specification: destination can't be '/'")
    return clean


def _volumes_from(text: str, mounts_of: Callable[[str], Iterable[MountPoint]]) -> list[MountPoint]:
    name, _, mode = text.partition(":")
    if not name:
        raise Invalid("volumes-from specification cannot be an empty string")
    words = set(mode.split(",")) - {""}
    if words - {"ro", "rw"} - _LABELS:
        raise Invalid(f"invalid mode for volumes-from: {mode}")
    read_only = "ro" in words
    return [
        replace(point, rw=point.rw and not read_only, anonymous=False, copy=False)
        for point in mounts_of(name)
        if point.type in ("volume", "bind")
    ]


def parse_bind(text: str, driver: str = "") -> MountPoint:
    """``source:destination[:mode]`` or a bare destination, of ``-v``; raises Invalid."""
    parts = text.split(":")
    if len(parts) > 3 or not all(parts[:2]) or (len(parts) == 3 and not parts[2]):
        raise Invalid(f"invalid volume specification: '{text}'")
    if len(parts) == 1:
        return MountPoint("volume", _destination(parts[0]), driver=driver or "local", anonymous=True)
    source, destination = parts[0], _destination(parts[1])
    mode = parts[2] if len(parts) == 3 else ""
    words = [word for word in mode.split(",") if word]
    is_bind = source.startswith("/")
    propagation = _check_mode(words, mode, is_bind)
    rw = "ro" not in words
    if is_bind:
        clean = posixpath.normpath(source)
        return MountPoint(
            "bind", destination, source="/" + clean.lstrip("/"), mode=mode, rw=rw, propagation=propagation or "rprivate"
        )
    if not _VOLUME_NAME.match(source):
        raise Invalid(
            f'create {source}: "{source}" includes invalid characters for a local volume name, only '
            '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path'
        )
    return MountPoint(
        "volume",
        destination,
        name=source,
        driver=driver or "local",
        mode=mode or "z",
        rw=rw,
        copy="nocopy" not in words,
    )


def _check_mode(words: list[str], mode: str, is_bind: bool) -> str:
    propagations = [word for word in words if word in PROPAGATIONS]
    access = [word for word in words if word in ("ro", "rw")]
    labels = [word for word in words if word in _LABELS]
    known = PROPAGATIONS | _LABELS | _CONSISTENCY | {"ro", "rw", "nocopy"}
    wrong = any(word not in known for word in words) or max(map(len, (propagations, access, labels))) > 1
    if wrong or (propagations and not is_bind) or ("nocopy" in words and is_bind):
        raise Invalid(f"invalid mode: {mode}")
    return propagations[0] if propagations else ""


def parse_mount(body: Mapping[str, Any]) -> MountPoint:
    """One item of ``HostConfig.Mounts``; raises Invalid in dockerd's words."""
    fields.check(body, parts.MOUNT, "Mount")
    fields.check(body.get("VolumeOptions") or {}, parts.VOLUME_OPTIONS, "VolumeOptions")
    fields.check((body.get("VolumeOptions") or {}).get("DriverConfig") or {}, parts.VOLUME_DRIVER, "Driver")
    fields.check(body.get("TmpfsOptions") or {}, parts.TMPFS_OPTIONS, "TmpfsOptions")
    kind, target, source = str(body.get("Type") or ""), str(body.get("Target") or ""), str(body.get("Source") or "")
    if kind not in ("bind", "volume", "tmpfs", "image", "npipe", "cluster"):
        raise Invalid(f'invalid mount config for type "{kind}": mount type unknown')
    if not target:
        raise _wrong(kind, "field Target must not be empty")
    try:
        destination = _destination(target)
    except Invalid as error:
        raise _wrong(kind, error.message) from None
    for other, field in (("bind", "BindOptions"), ("volume", "VolumeOptions"), ("tmpfs", "TmpfsOptions")):
        if kind != other and body.get(field):
            raise _wrong(kind, f"field {field} must not be specified")
    rw = not body.get("ReadOnly")
    match kind:
        case "bind":
            return _bind(destination, source, rw, body.get("BindOptions") or {})
        case "volume":
            return _volume(destination, source, rw, body.get("VolumeOptions") or {})
        case "tmpfs":
            return _tmpfs(destination, source, rw, body.get("TmpfsOptions") or {})
    raise _wrong(kind, "not supported by this engine")


def _wrong(kind: str, words: str) -> Invalid:
    return Invalid(f'invalid mount config for type "{kind}": {words}')


def _bind(destination: str, source: str, rw: bool, options: Mapping[str, Any]) -> MountPoint:
    if not source:
        raise _wrong("bind", "field Source must not be empty")
    if not source.startswith("/"):
        raise _wrong("bind", f"invalid mount path: '{source}' mount path must be absolute")
    propagation = str(options.get("Propagation") or "rprivate")
    if propagation not in PROPAGATIONS:
        raise _wrong("bind", f"invalid propagation mode: {propagation}")
    words = ["nonrecursive"] if options.get("NonRecursive") else []
    words += ["create"] if options.get("CreateMountpoint") else ["exists"]
    return MountPoint(
        "bind",
        destination,
        source=posixpath.normpath(source),
        rw=rw,
        propagation=propagation,
        recursive=not options.get("ReadOnlyNonRecursive"),
        options=tuple(words),
    )


def _volume(destination: str, source: str, rw: bool, options: Mapping[str, Any]) -> MountPoint:
    if source and not _VOLUME_NAME.match(source):
        raise _wrong("volume", f"invalid volume name: {source}")
    subpath = str(options.get("Subpath") or "")
    if subpath.startswith("/") or ".." in subpath.split("/"):
        raise _wrong("volume", "subpath must be a relative path within the volume")
    if subpath and not source:
        raise _wrong("volume", "must not set Subpath when using anonymous volumes")
    driver = options.get("DriverConfig") or {}
    return MountPoint(
        "volume",
        destination,
        name=source,
        driver=str(driver.get("Name") or "local"),
        mode="z",
        rw=rw,
        copy=not options.get("NoCopy"),
        subpath=subpath,
        anonymous=not source,
    )


def _tmpfs(destination: str, source: str, rw: bool, options: Mapping[str, Any]) -> MountPoint:
    if source:
        raise _wrong("tmpfs", "field Source must not be specified")
    words = []
    if size := options.get("SizeBytes"):
        words.append(f"size={int(size)}")
    if mode := options.get("Mode"):
        words.append(f"mode={int(mode):o}")
    words.extend("=".join(option) for option in options.get("Options") or ())
    return MountPoint("tmpfs", destination, rw=rw, options=tuple(words))
