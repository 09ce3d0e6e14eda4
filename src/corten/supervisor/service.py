"""What the engine calls: ``Supervisor`` makes and finds tasks, ``Task`` is one running container.

Skeleton of the interface; the bodies follow.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

from corten.errors import NotImplementedYet
from corten.supervisor.model import ExitRecord


class Task:
    """One container that has been created: its shim, its init, and the execs in it."""

    id: str
    pid: int
    bundle: Path
    started_at: float | None

    def netns_fd(self) -> int:
        """An owned descriptor of the container's network namespace; the caller closes it."""
        raise NotImplementedYet("supervisor")

    def root_fd(self) -> int:
        """An owned O_PATH descriptor of the container's root as it sees it; for kernel.paths.Root(fd)."""
        raise NotImplementedYet("supervisor")

    async def netlink(self) -> socket.socket:
        """A NETLINK_ROUTE socket that lives in the container's network namespace."""
        raise NotImplementedYet("supervisor")

    async def socket(
        self,
        family: int,
        kind: int,
        protocol: int = 0,
        *,
        bind: tuple[str, int] | None = None,
        listen: int | None = None,
    ) -> socket.socket:
        """Any socket made inside the container's network namespace (the embedded resolver's, for one)."""
        raise NotImplementedYet("supervisor")

    async def start(self) -> None:
        """Let init execute the container's process."""
        raise NotImplementedYet("supervisor")

    async def exec(self, exec_id: str, process: dict[str, Any], *, tty: bool, stdin: bool) -> int:
        """Start a further process; returns its pid (the host's number)."""
        raise NotImplementedYet("supervisor")

    async def attach(self, *, exec_id: str | None = None, stdin: bool, stdout: bool, stderr: bool) -> socket.socket:
        """Open a stream: output framed as Docker does (raw for a terminal), writes are stdin."""
        raise NotImplementedYet("supervisor")

    async def wait(self, exec_id: str | None = None) -> ExitRecord:
        """Return when the process has ended."""
        raise NotImplementedYet("supervisor")

    async def signal(self, signum: int, *, exec_id: str | None = None) -> None:
        """Send a signal."""
        raise NotImplementedYet("supervisor")

    async def resize(self, height: int, width: int, *, exec_id: str | None = None) -> None:
        """Set the terminal's size."""
        raise NotImplementedYet("supervisor")

    async def pause(self) -> None:
        """Freeze every process."""
        raise NotImplementedYet("supervisor")

    async def resume(self) -> None:
        """Thaw."""
        raise NotImplementedYet("supervisor")

    async def update(self, resources: dict[str, Any]) -> None:
        """Apply OCI ``linux.resources`` to the running container."""
        raise NotImplementedYet("supervisor")

    async def stats(self) -> dict[str, Any]:
        """See ``model.Stats``."""
        raise NotImplementedYet("supervisor")

    async def pids(self) -> list[int]:
        """The container's processes, as the host numbers them."""
        raise NotImplementedYet("supervisor")

    async def delete(self) -> None:
        """Forget a stopped task; a task that was never started is destroyed."""
        raise NotImplementedYet("supervisor")


class Supervisor:
    """Makes tasks from bundles and finds them again after a restart."""

    def __init__(self, exec_root: Path, *, cgroup_parent: str = "/corten") -> None:
        self.exec_root = exec_root
        self.cgroup_parent = cgroup_parent

    async def open(self) -> None:
        """Start the zygote."""
        raise NotImplementedYet("supervisor")

    async def close(self) -> None:
        """Close the daemon's side; containers run on."""
        raise NotImplementedYet("supervisor")

    async def create(self, bundle: Path) -> Task:
        """Make shim and init; raises StartFailure."""
        raise NotImplementedYet("supervisor")

    async def recover(self, bundle: Path) -> Task | ExitRecord | None:
        """Find what is left of a bundle's task after a restart."""
        raise NotImplementedYet("supervisor")
