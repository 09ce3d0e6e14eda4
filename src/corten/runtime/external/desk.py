"""The directory in which one call of a runtime finds what it reads and leaves what it answers.

Owns: config.json or process.json, the runtime's log, the pid file and the socket for the terminal.  The socket has a
short path through our own descriptors, for a socket's path may have 107 bytes and a bundle's is longer.
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import socket
import stat
from types import TracebackType
from typing import Any

from corten.kernel import flags, mounts
from corten.kernel.paths import Root


class Desk:
    """Made empty by ``with``; removed after it, unless the runtime may look at it again."""

    def __init__(self, path: str, *, is_kept: bool = False) -> None:
        self.path = path
        self._is_kept = is_kept
        self.log = f"{path}/log.json"
        self.pid_file = f"{path}/pid"
        self._directory_fd = -1
        self._console: socket.socket | None = None
        self._attached = 0

    def __enter__(self) -> Desk:
        self._remove()
        os.makedirs(self.path, 0o700)
        self._directory_fd = os.open(self.path, flags.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        if self._console:
            self._console.close()
        os.close(self._directory_fd)
        if not self._is_kept:
            self._remove()

    def _remove(self) -> None:
        with contextlib.suppress(OSError), Root.at(os.path.dirname(self.path)) as root:
            root.rmtree(os.path.basename(self.path))

    def write(self, name: str, body: dict[str, Any]) -> str:
        """A JSON file; its path."""
        path = f"{self.path}/{name}"
        with open(path, "w", encoding="utf-8", errors="surrogateescape") as stream:
            json.dump(body, stream)
        return path

    def pid(self) -> int:
        """What the runtime has written of the process it made."""
        with open(self.pid_file, encoding="ascii") as stream:
            return int(stream.read())

    def open_console(self) -> str:
        """Listen for the terminal; the path for `--console-socket`, good as long as this process lives."""
        path = f"/proc/{os.getpid()}/fd/{self._directory_fd}/console"
        self._console = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._console.bind(path)
        self._console.listen(1)
        return path

    def take_terminal(self) -> int:
        """The master that the runtime has sent."""
        assert self._console is not None
        self._console.settimeout(10)
        connection, _ = self._console.accept()
        with connection:
            connection.settimeout(10)
            _, ancillary, _, _ = connection.recvmsg(4096, socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC)
        for level, kind, payload in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                return array.array("i", payload[:4])[0]
        raise OSError(71, "the runtime has sent no terminal", self.path)

    def attach(self, tree_fd: int) -> str:
        """Attach a detached mount here; its path."""
        self._attached += 1
        path = f"{self.path}/bind{self._attached}"
        if stat.S_ISDIR(os.fstat(tree_fd).st_mode):
            os.mkdir(path)
        else:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        mounts.move_mount(tree_fd, path)
        os.close(tree_fd)
        return path
