"""Starting ``cortend`` in the background when nothing answers on the default socket.

Owns: who may start it (root, on Linux, the default socket), where its program is, waiting until it answers.
Two clients that come at once start one daemon: a lock file decides.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
from collections.abc import Iterator

from corten.client import transport
from corten.client.transport import NoDaemon
from corten.errors import Unavailable

PATIENCE = 20.0
LOG = "/var/log/cortend.log"
LOCK = "/run/corten/start.lock"


def start(refused: NoDaemon) -> socket.socket:
    """Start the daemon and connect to it; raises what was raised where that is not for us to do."""
    address = refused.address
    if not address.is_default or sys.platform != "linux":
        raise refused
    if os.geteuid() != 0:
        refused.hint = "Start it as root: sudo cortend, or name another daemon with -H or CORTEN_HOST."
        raise refused
    with _lock():
        # Another client may have started it while we waited for the lock.
        with contextlib.suppress(NoDaemon):
            return transport.dial(address)
        return _launch(refused)


@contextlib.contextmanager
def _lock() -> Iterator[None]:
    import fcntl  # noqa: PLC0415  Linux only

    os.makedirs(os.path.dirname(LOCK), mode=0o755, exist_ok=True)
    with open(LOCK, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def program() -> list[str]:
    """``cortend`` beside the program that runs, else the module of the same interpreter."""
    for beside in (os.path.realpath(sys.argv[0]), sys.executable):
        path = os.path.join(os.path.dirname(beside), "cortend")
        if os.access(path, os.X_OK):
            return [path]
    return [sys.executable, "-m", "corten.daemon"]


def _launch(refused: NoDaemon) -> socket.socket:
    import subprocess  # noqa: PLC0415  only when a daemon has to be started

    with open(LOG, "ab") as log:
        daemon = subprocess.Popen(
            program(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True
        )
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with contextlib.suppress(NoDaemon):
            return transport.dial(refused.address)
        if daemon.poll() is not None:
            raise Unavailable(f"cortend did not start (exit status {daemon.returncode})", hint=_last_words())
        time.sleep(0.02)
    raise Unavailable(f"cortend does not answer on {refused.address} after {PATIENCE:.0f} s", hint=_last_words())


def _last_words() -> str:
    try:
        with open(LOG, "rb") as log:
            log.seek(max(0, os.path.getsize(LOG) - 4096))
            lines = log.read().decode("utf-8", "replace").strip().splitlines()
    except OSError:
        lines = []
    return "\n".join([*lines[-5:], f"See {LOG}."])
