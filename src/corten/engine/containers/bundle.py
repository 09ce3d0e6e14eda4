"""The engine's files of a bundle: the spec, the root's mounts, the shim's options, and the container's /etc files.

Owns: writing them before a start.  Without fsync: the record in the facts is what must survive the machine, and every
start writes the bundle anew.  What the shim writes beside them is drawn in ``runtime/bundle.py``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from corten.engine.containers.model import Container
from corten.errors import Invalid
from corten.store.snapshots.base import Mount
from corten.supervisor.model import ShimOptions

# A container that nobody bounded never fills the disk: said in the docs, unlike dockerd's json-file.
_DEFAULT_SIZE, _DEFAULT_FILES = 20 << 20, 5
_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def log_path(bundle: Path, record: Container) -> Path:
    """Where the shim writes what the container prints."""
    return bundle / f"{record.id}-json.log"


def write(bundle: Path, spec: Mapping[str, Any], root: Iterable[Mount], options: ShimOptions) -> None:
    """Everything that a start needs."""
    _write(bundle / "config.json", spec)
    _write(bundle / "rootfs.json", [mount.to_json() for mount in root])
    _write(bundle / "shim.json", options.to_json())


def _write(path: Path, body: Any) -> None:
    path.write_text(json.dumps(body, separators=(",", ":")), encoding="utf-8", errors="surrogateescape")


def write_etc(directory: Path, contents: Mapping[str, str]) -> None:
    """hosts, hostname, resolv.conf.  In place: a running container has the very files bind-mounted."""
    for name, text in contents.items():
        path = directory / name
        with path.open("w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
        path.chmod(0o644)


def shim_options(record: Container, bundle: Path) -> ShimOptions:
    """How the shim treats the streams; raises Invalid for log options that make no sense."""
    config, log = record.config, record.host_config["LogConfig"]
    given = dict(log["Config"] or {})
    height, width = (record.host_config["ConsoleSize"] or [0, 0])[:2]
    return ShimOptions(
        tty=bool(config["Tty"]),
        open_stdin=bool(config["OpenStdin"]),
        stdin_once=bool(config["StdinOnce"]),
        log_path=None if log["Type"] == "none" else str(log_path(bundle, record)),
        log_max_size=_size(given["max-size"]) if "max-size" in given else _DEFAULT_SIZE,
        log_max_file=_count(given.get("max-file", str(_DEFAULT_FILES))),
        log_compress=given.get("compress", "true" if log["Type"] == "local" else "false") == "true",
        log_attrs=_attributes(record, given),
        expect_client=bool(config["AttachStdout"] or config["AttachStderr"] or config["AttachStdin"]),
        height=height,
        width=width,
    )


def _size(text: str) -> int:
    number = text.strip().lower()
    unit = number[-1:] if number[-1:].isalpha() else ""
    if number == "-1":
        return 0
    try:
        return int(float(number.removesuffix(unit)) * _UNITS[unit])
    except (KeyError, ValueError):
        raise Invalid(f"invalid size: '{text}'") from None


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise Invalid(f"max-file cannot be less than 1: {text!r}")
    return int(text)


def _attributes(record: Container, options: Mapping[str, str]) -> dict[str, str]:
    labels = [name for name in options.get("labels", "").split(",") if name in record.labels]
    wanted = set(options.get("env", "").split(",")) - {""}
    env = dict(item.partition("=")[::2] for item in record.config["Env"] or () if "=" in item)
    found = {name: record.labels[name] for name in labels}
    return found | {name: value for name, value in env.items() if name in wanted}
