"""Who says what to whom, on one page.  Messages are JSON with descriptors over kernel/wire.py.

    daemon -> zygote   {"op": "spawn", "bundle": path, "cgroup_parent": path, "clients": […], "connect": bool,
                        "start": n or 0}             + the shim's end of a task connection, and a stream for each client
                       {"op": "fill"}                               have one more shim wait, see below
    zygote -> daemon   {"event": "waiting"}               + a socket that takes one spawn, as the zygote would
    shim -> daemon     {"event": "network"}                                     + netns, netlink; only if "connect"
                       {"event": "created", "pid", "status", …}                 + netns, netlink, root, pidfd (FDS)
                       {"event": "failed", "step", "errno", "message"}          instead of created
                       {"event": "exited", "exec_id": id or null, …exit record}
                       {"event": "oom"}
                       {"event": "waiting"}                         the last word: as the zygote's, + such a socket
                       {"id": n, …result} or {"id": n, "error": {"step", "errno", "message"}}
    daemon -> shim     {"id": n, "op": see shim_service.py, …}

A daemon that comes later connects to control.sock, sends {"op": "hello"} and gets what ``created`` says and more.
A spawn with a "start" goes on to execute without another word, which is answered under that number.  With "connect"
the daemon is told of the network namespace as soon as there is one, and may send its start before "created".
Requests on one connection are answered in any order; ``id`` tells which.  Fields may be added, never reinterpreted:
an old shim must understand a new daemon.  By ``VERSION`` the daemon tells what a shim knows.
"""

from __future__ import annotations

from typing import Any

VERSION = 3
ATTACHING_EXEC_VERSION = 2
"""From here on a shim's ``exec`` takes a client."""
ANNOUNCED_EXEC_VERSION = 3
"""From here on an exec may be announced."""

FDS = ("pidfd", "netns", "root", "netlink")
"""The order of the descriptors that come with ``created`` (and ``hello``, which has no netlink)."""

NETWORK_FDS = ("netns", "netlink")
LATER_FDS = ("pidfd", "root")
"""Those of ``network``, and then of ``created``."""


class StepFailure(Exception):
    """Something in the making of a process failed.  Crosses process borders as a message."""

    def __init__(self, step: str, errno: int, message: str) -> None:
        super().__init__(message)
        self.step = step
        self.errno = errno
        self.message = message

    @classmethod
    def of(cls, step: str, failure: BaseException) -> StepFailure:
        """Name the step in which an exception happened; a failure that has a step keeps it."""
        if isinstance(failure, StepFailure):
            return failure
        if isinstance(failure, OSError):
            words = (failure.strerror or str(failure)).lower()
            where = f" {failure.filename}" if failure.filename else ""
            return cls(step, failure.errno or 0, f"{step}{where}: {words}")
        return cls(step, 0, f"{step}: {failure}")

    @classmethod
    def parse(cls, body: dict[str, Any]) -> StepFailure:
        return cls(str(body["step"]), int(body["errno"]), str(body["message"]))

    def to_json(self) -> dict[str, Any]:
        return {"step": self.step, "errno": self.errno, "message": self.message}
