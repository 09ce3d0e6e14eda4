"""The fork server: everything imported once, then only receive, fork, close.

Started by supervisor/zygote.py from a sealed copy of the interpreter, with one argument: the descriptor of its socket
to the daemon.  It ends when that socket ends; the shims it has forked do not.
"""

from __future__ import annotations

import contextlib
import encodings.ascii
import encodings.latin_1
import encodings.utf_8
import gc
import os
import signal
import socket
import sys
from typing import NoReturn

from corten.kernel import process, wire
from corten.runtime import errands, seccomp_profile, shim
from corten.runtime.cgroup import Hierarchies

# A codec is imported at its first use, and inside a container there is nothing to import from.
CODECS = (encodings.ascii, encodings.latin_1, encodings.utf_8)

_DEFAULT_CAPABILITIES = (
    "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL "
    "AUDIT_WRITE"
)


def main(fd: int) -> None:
    """Serve until the daemon goes away."""
    process.set_name("corten-zygote")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps shims and errands
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.umask(0o022)
    process.set_title("corten-zygote")
    daemon = socket.socket(fileno=fd)
    hierarchies = Hierarchies.discover()
    # Warm what every container needs: the common filter, the codecs.
    seccomp_profile.default_program(frozenset(f"CAP_{name}" for name in _DEFAULT_CAPABILITIES.split()))
    gc.collect()
    gc.freeze()
    wire.send(daemon, {"event": "ready", "pid": os.getpid()})
    while (message := wire.receive(daemon)) is not None:
        with message:
            _serve(message, daemon, hierarchies)


def _serve(message: wire.Message, daemon: socket.socket, hierarchies: Hierarchies) -> None:
    reply_fd = message.take()
    pid = os.fork()
    if pid == 0:
        _child(message, daemon, reply_fd, hierarchies)
    os.close(reply_fd)


def _child(message: wire.Message, daemon: socket.socket, reply_fd: int, hierarchies: Hierarchies) -> NoReturn:
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        daemon.close()
        reply = socket.socket(fileno=reply_fd)
        if message.body.get("op") == "spawn":
            body = message.body
            shim.main(str(body["bundle"]), str(body["cgroup_parent"]), hierarchies, reply)
        errands.main(message, reply)
    finally:
        os._exit(1)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main(int(sys.argv[1]))
