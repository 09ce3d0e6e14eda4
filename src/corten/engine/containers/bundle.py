"""The engine's files of a bundle: the spec, the root's mounts, the shim's options, and the container's /etc files.

Owns: writing them before a start.  Without fsync: the record in the facts is what must survive the machine, and every
start writes the bundle anew.  What the shim writes beside them is drawn in ``runtime/bundle.py``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from corten.engine.containers import logdriver
from corten.engine.containers.model import Container
from corten.store.snapshots.base import Mount
from corten.supervisor.model import ShimOptions


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


def shim_options(record: Container, bundle: Path, runtime: dict[str, Any] | None = None) -> ShimOptions:
    """How the shim treats the streams, and what runtime it calls; raises Invalid for log options that make no sense."""
    config = record.config
    height, width = (record.host_config["ConsoleSize"] or [0, 0])[:2]
    return ShimOptions(
        tty=bool(config["Tty"]),
        open_stdin=bool(config["OpenStdin"]),
        stdin_once=bool(config["StdinOnce"]),
        expect_client=bool(runtime or config["AttachStdout"] or config["AttachStderr"] or config["AttachStdin"]),
        height=height,
        width=width,
        runtime=runtime,
        **logdriver.shim_options(record, str(log_path(bundle, record))),
    )
