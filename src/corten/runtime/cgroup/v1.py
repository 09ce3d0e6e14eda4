"""Control groups, version 1: a directory in each hierarchy.

Owns making, joining, freezing, killing and removing them.  A process joins by writing 0 to each ``tasks`` file itself:
a parent's write to ``cgroup.procs`` takes a global lock that waits for an RCU grace period (8 ms after idle, measured).
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time
from collections.abc import Mapping
from typing import Any

from corten.runtime.cgroup import devices, files, stats
from corten.runtime.cgroup.limits import Write, lower_v1


class GroupV1:
    """See Group in ``__init__``.  ``hierarchies``: controllers ("cpu,cpuacct") to mount point."""

    version = 1

    def __init__(self, hierarchies: Mapping[str, str], path: str) -> None:
        if path.count("/") < 2 or ".." in path.split("/"):
            # Whoever kills and removes by this path must never hold a whole hierarchy.
            raise ValueError(f"not a container's control group: {path!r}")
        self.path = path
        self._hierarchies = hierarchies
        self._directories = {names: f"{target}{path}" for names, target in hierarchies.items()}
        self._by_controller = {
            name: directory for names, directory in self._directories.items() for name in names.split(",")
        }

    def create(self, resources: Mapping[str, Any]) -> None:
        for directory in self._directories.values():
            self._make(directory)
        for write in lower_v1(resources):
            self._write(write)
        self._confine_devices(resources)

    def _make(self, directory: str) -> None:
        try:
            os.mkdir(directory, 0o755)
        except FileExistsError:
            pass
        except FileNotFoundError:
            self._make_parents(os.path.dirname(directory))
            with contextlib.suppress(FileExistsError):
                os.mkdir(directory, 0o755)

    def _make_parents(self, directory: str) -> None:
        """Parents too; in the cpuset hierarchy they must have processors and hand them down."""
        parent = os.path.dirname(directory)
        if not os.path.isdir(parent):
            self._make_parents(parent)
        with contextlib.suppress(FileExistsError):
            os.mkdir(directory, 0o755)
        for name in ("cpuset.cpus", "cpuset.mems"):
            inherited = files.read(f"{parent}/{name}").strip()
            if inherited and not files.read(f"{directory}/{name}").strip():
                files.write(f"{directory}/{name}", inherited)
        if os.path.exists(f"{directory}/cpuset.cpus"):
            files.write(f"{directory}/cgroup.clone_children", "1")

    def _write(self, write: Write) -> None:
        directory = self._by_controller.get(write.controller)
        if directory is None:
            if write.optional:
                return
            raise OSError(errno.ENOENT, "this kernel has no such control group", write.controller)
        try:
            files.write(f"{directory}/{write.file}", write.value)
        except FileNotFoundError:
            if not write.optional:
                raise
        except OSError as failure:
            if not (write.optional and failure.errno in (errno.EOPNOTSUPP, errno.EINVAL)):
                raise

    def _confine_devices(self, resources: Mapping[str, Any]) -> None:
        directory = self._by_controller.get("devices")
        listed = devices.rules(resources)
        if directory is None or devices.allows_everything(listed):
            return
        allow_fd = os.open(f"{directory}/devices.allow", os.O_WRONLY | os.O_CLOEXEC)
        deny_fd = os.open(f"{directory}/devices.deny", os.O_WRONLY | os.O_CLOEXEC)
        try:
            for rule in listed:
                os.write(allow_fd if rule.allow else deny_fd, devices.line(rule).encode())
        finally:
            os.close(allow_fd)
            os.close(deny_fd)

    def join_fds(self) -> list[int]:
        return [os.open(f"{each}/tasks", os.O_WRONLY | os.O_CLOEXEC) for each in self._directories.values()]

    def clone_fd(self) -> int | None:
        return None

    def update(self, resources: Mapping[str, Any]) -> None:
        writes = lower_v1(resources)
        memory = [write for write in writes if write.file.endswith("limit_in_bytes") and write.controller == "memory"]
        try:
            for write in memory:
                self._write(write)
        except OSError as failure:
            # The limit may never be above the limit with swap: growing needs the other order.
            if failure.errno != errno.EINVAL or len(memory) < 2:
                raise
            for write in reversed(memory):
                self._write(write)
        for write in writes:
            if write not in memory:
                self._write(write)

    def freeze(self) -> None:
        self._set_freezer("FROZEN")

    def thaw(self) -> None:
        self._set_freezer("THAWED")

    def _set_freezer(self, state: str) -> None:
        directory = self._by_controller.get("freezer")
        if directory is None:
            raise OSError(errno.ENOENT, "this kernel has no such control group", "freezer")
        deadline = time.monotonic() + 5
        while True:
            files.write(f"{directory}/freezer.state", state)
            if files.read(f"{directory}/freezer.state").strip() == state:
                return
            if time.monotonic() > deadline:
                # A process in an uninterruptible sleep will not freeze; leave none half frozen.
                files.write(f"{directory}/freezer.state", "THAWED")
                raise OSError(errno.EBUSY, "the processes did not freeze", directory)
            time.sleep(0.001)

    def pids(self) -> list[int]:
        return files.pids_beneath(self._main())

    def _main(self) -> str:
        for name in ("pids", "freezer", "name=systemd", "memory"):
            if name in self._by_controller:
                return self._by_controller[name]
        return next(iter(self._directories.values()))

    def kill(self) -> None:
        for _ in range(100):
            found = self.pids()
            if not found:
                return
            for pid in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(OSError):
                self.thaw()
            time.sleep(0.002)

    def oom_kills(self) -> int:
        directory = self._by_controller.get("memory")
        return files.read_table(f"{directory}/memory.oom_control").get("oom_kill", 0) if directory else 0

    def oom_watch(self) -> int | None:
        directory = self._by_controller.get("memory")
        if directory is None:
            return None
        event_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        try:
            control_fd = os.open(f"{directory}/memory.oom_control", os.O_RDONLY | os.O_CLOEXEC)
            try:
                files.write(f"{directory}/cgroup.event_control", f"{event_fd} {control_fd}")
            finally:
                os.close(control_fd)
        except OSError:
            os.close(event_fd)
            return None
        return event_fd

    def stats(self) -> dict[str, Any]:
        return stats.read_v1(self._by_controller)

    def remove(self) -> bool:
        left = [each for each in self._directories.values() if not files.remove_tree(each)]
        return not left

    def mounts(self) -> list[tuple[str, str]]:
        return [(self._directories[names], os.path.basename(target)) for names, target in self._hierarchies.items()]
