"""What is left of a container after the daemon, or its shim, has died.

control.sock answers                 a living task
exit.json                            it has ended, and how is known
state.json and neither               its shim was killed: end what it left, and write down that it was lost
none                                 it was never started
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from pathlib import Path

from corten.kernel import process
from corten.runtime.bundle import Bundle
from corten.runtime.cgroup import Hierarchies
from corten.runtime.external.command import forget
from corten.supervisor.model import ExitRecord


def connect(bundle: Path) -> socket.socket | None:
    """A connection to the bundle's shim, if one lives."""
    try:
        directory_fd = os.open(bundle, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        sock.settimeout(5)
        sock.connect(f"/proc/self/fd/{directory_fd}/control.sock")
    except OSError:
        sock.close()
        return None
    finally:
        os.close(directory_fd)
    return sock


def bury(path: Path) -> ExitRecord:
    """How the container ended; if nobody wrote it down, end it now and say so.  Blocks for a moment."""
    bundle = Bundle(os.fspath(path))
    known = bundle.exit_record()
    if known is not None:
        return ExitRecord.parse(known)
    state = bundle.state() or {}
    if pid := int(state.get("pid") or 0):
        with contextlib.suppress(OSError):
            if process.start_time(pid) == int(state.get("pid_start_time") or 0):
                os.kill(pid, signal.SIGKILL)
    if state.get("cgroup"):
        hierarchies, place = Hierarchies.discover(), str(state["cgroup"])
        group = hierarchies.group(place)
        with contextlib.suppress(OSError):
            group.kill()
            group.remove()
        if state.get("runtime_state"):
            for stray in hierarchies.strays(place):
                stray.remove()
            forget(str(state["runtime_state"]))
    record = ExitRecord(
        status=137,
        signal=9,
        finished_at=time.time(),
        started_at=state.get("started_at"),
        error="the container's shim was killed",
    )
    if state.get("started_at") is not None:
        bundle.write_exit(record.to_json())
    else:
        bundle.forget()
    return record


def is_started(path: Path) -> bool:
    """Whether a shim of this bundle ever got as far as executing the process."""
    state = Bundle(os.fspath(path)).state()
    return state is not None and state.get("started_at") is not None
