"""Control groups, version 2: one directory.

Owns making, delegation of controllers, freezing, killing and removing.  A process is born in its group
(CLONE_INTO_CGROUP); execs join by writing 0 to ``cgroup.procs``.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Mapping
from typing import Any

from corten.kernel import bpf, watch
from corten.runtime.cgroup import devices, files, stats
from corten.runtime.cgroup.limits import Write, lower_v2

_WANTED = ("cpuset", "cpu", "io", "memory", "hugetlb", "pids", "misc")


class GroupV2:
    """See Group in ``__init__``."""

    version = 2

    def __init__(self, mount_point: str, path: str) -> None:
        if path.count("/") < 2 or ".." in path.split("/"):
            # Whoever kills and removes by this path must never hold a whole hierarchy.
            raise ValueError(f"not a container's control group: {path!r}")
        self.path = path
        self._mount_point = mount_point
        self._directory = f"{mount_point}{path}"
        self._device_fd = -1

    def create(self, resources: Mapping[str, Any]) -> None:
        if not os.path.isdir(os.path.dirname(self._directory)):
            self._make_parents()
        with contextlib.suppress(FileExistsError):
            os.mkdir(self._directory, 0o755)
        for write in lower_v2(resources):
            self._write(write)
        listed = devices.rules(resources)
        if not devices.allows_everything(listed):
            # A leading "deny all" is what the program does anyway.
            os.close(bpf.confine_devices(self._directory, [rule for rule in listed if rule.allow or rule.kind != "a"]))

    def _make_parents(self) -> None:
        """Every group above must hand its controllers down before ours can have them."""
        directory = self._mount_point
        _delegate(directory)
        for name in os.path.dirname(self.path).strip("/").split("/"):
            directory = f"{directory}/{name}"
            with contextlib.suppress(FileExistsError):
                os.mkdir(directory, 0o755)
            _delegate(directory)

    def _write(self, write: Write) -> None:
        try:
            files.write(f"{self._directory}/{write.file}", write.value)
        except FileNotFoundError:
            if not write.optional:
                raise OSError(errno.ENOENT, "this kernel has no such control group", write.file) from None
        except OSError as failure:
            if not (write.optional and failure.errno in (errno.EOPNOTSUPP, errno.EINVAL)):
                raise

    def join_fds(self) -> list[int]:
        return [os.open(f"{self._directory}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)]

    def clone_fd(self) -> int | None:
        return os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def update(self, resources: Mapping[str, Any]) -> None:
        for write in lower_v2(resources):
            self._write(write)

    def freeze(self) -> None:
        self._set_frozen("1")

    def thaw(self) -> None:
        self._set_frozen("0")

    def _set_frozen(self, state: str) -> None:
        files.write(f"{self._directory}/cgroup.freeze", state)
        deadline = time.monotonic() + 5
        while f"frozen {state}" not in files.read(f"{self._directory}/cgroup.events"):
            if time.monotonic() > deadline:
                files.write(f"{self._directory}/cgroup.freeze", "0")
                raise OSError(errno.EBUSY, "the processes did not freeze", self._directory)
            time.sleep(0.001)

    def pids(self) -> list[int]:
        return files.pids_beneath(self._directory)

    def kill(self) -> None:
        try:
            files.write(f"{self._directory}/cgroup.kill", "1")
        except FileNotFoundError:  # before 5.14, or the group is gone
            for pid in self.pids():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, 9)
        for _ in range(100):
            if not self.pids():
                return
            time.sleep(0.002)

    def oom_kills(self) -> int:
        return files.read_table(f"{self._directory}/memory.events").get("oom_kill", 0)

    def oom_watch(self) -> int | None:
        try:
            return watch.file(f"{self._directory}/memory.events")
        except OSError:
            return None

    def stats(self) -> dict[str, Any]:
        return stats.read_v2(self._directory)

    def remove(self) -> bool:
        return files.remove_tree(self._directory)

    def mounts(self) -> list[tuple[str, str]]:
        return [(self._directory, "")]


def _delegate(directory: str) -> None:
    """Let children have every controller that this group has."""
    present = files.read(f"{directory}/cgroup.controllers").split()
    given = files.read(f"{directory}/cgroup.subtree_control").split()
    for name in _WANTED:
        if name not in present or name in given:
            continue
        try:
            files.write(f"{directory}/cgroup.subtree_control", f"+{name}")
        except OSError as failure:
            if failure.errno != errno.EBUSY:
                continue  # the limits that need it will say so
            # Processes live in this group (a container without systemd): the kernel wants them in a leaf first.
            _move_to_leaf(directory)
            with contextlib.suppress(OSError):
                files.write(f"{directory}/cgroup.subtree_control", f"+{name}")


def _move_to_leaf(directory: str) -> None:
    leaf = f"{directory}/corten-host"
    with contextlib.suppress(FileExistsError):
        os.mkdir(leaf)
    for pid in files.read(f"{directory}/cgroup.procs").split():
        with contextlib.suppress(OSError):
            files.write(f"{leaf}/cgroup.procs", pid)
