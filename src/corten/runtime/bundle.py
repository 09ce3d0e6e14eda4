"""The bundle directory: who writes what, and how it is read.

    bundle/
    ├── config.json     OCI spec                        the engine writes, shim and init read
    ├── rootfs.json     mounts of the root              the engine
    ├── shim.json       streams and log options         the engine
    ├── state.json      pids, start time, cgroup        the shim; write and rename
    ├── exit.json       how it ended                    the shim, once; its presence means stopped
    ├── control.sock    the shim's socket               the shim; a socket that answers is a living shim
    ├── rootfs/         an empty directory to mount on  the shim
    ├── external/       the bundle of an external runtime   external/desk.py
    └── exec-PID/       likewise, for one exec          external/desk.py, which removes it

Written without fsync: a crash of the machine ends every container anyway, and recovery treats a torn file as none.
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any

from corten.errors import Invalid
from corten.kernel import files
from corten.spec.runtime import Mount, Spec, parse_rootfs


class Bundle:
    """Paths and files of one bundle."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.control = f"{path}/control.sock"
        self.state_path = f"{path}/state.json"
        self.exit_path = f"{path}/exit.json"
        self.rootfs = f"{path}/rootfs"

    @property
    def id(self) -> str:
        """The directory's name is the container's id."""
        return os.path.basename(self.path)

    def config(self) -> dict[str, Any]:
        """config.json as it is; raises Invalid if that is no object."""
        body = self._read("config.json")
        if not isinstance(body, dict):
            raise Invalid("a runtime spec needs a process")
        return body

    def spec(self) -> Spec:
        """config.json, parsed."""
        return Spec.parse(self.config())

    def root_mounts(self) -> tuple[Mount, ...]:
        """rootfs.json, parsed; without the file, ``root.path`` of config.json is bound."""
        body = self._read_optional("rootfs.json")
        if body is not None:
            return parse_rootfs(body)
        return (Mount("/", "bind", os.path.join(self.path, self.spec().root_path or "rootfs"), ("rbind",)),)

    def shim_options(self) -> dict[str, Any]:
        """shim.json, or nothing."""
        return self._read_optional("shim.json") or {}

    def exit_record(self) -> dict[str, Any] | None:
        """exit.json, if the process has ended."""
        return self._read_optional("exit.json")

    def state(self) -> dict[str, Any] | None:
        """state.json, if a shim has lived here."""
        return self._read_optional("state.json")

    def write_state(self, body: dict[str, Any]) -> None:
        files.write_atomically(self.state_path, json.dumps(body).encode(), sync=False)

    def write_exit(self, body: dict[str, Any]) -> None:
        files.write_atomically(self.exit_path, json.dumps(body).encode(), sync=False)

    def forget(self) -> None:
        """Remove what a former life left, before a new one begins."""
        for path in (self.exit_path, self.state_path, self.control):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    def _read(self, name: str) -> Any:
        with open(f"{self.path}/{name}", "rb") as stream:
            return json.loads(stream.read())

    def _read_optional(self, name: str) -> Any | None:
        try:
            return self._read(name)
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None
