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
import select
import signal
import socket
import sys

from corten.kernel import process, wire
from corten.runtime import rehearsal
from corten.runtime.cgroup import Hierarchies
from corten.runtime.nursery import Nursery

# A codec is imported at its first use, and inside a container there is nothing to import from.
CODECS = (encodings.ascii, encodings.latin_1, encodings.utf_8)

_QUIET_MS = 4
"""A new shim is raised when nothing has been asked for this long: not beside the start of the one before."""
_REAP_MS = 1000


def main(fd: int) -> None:
    """Serve until the daemon goes away."""
    process.set_name("corten-zygote")
    process.set_title("corten-zygote")
    process.close_all_but({fd})  # nothing of the daemon's is handed on, not even the interpreter's file
    _reset_signals()
    os.umask(0o022)
    daemon = socket.socket(fileno=fd)
    hierarchies = Hierarchies.discover()
    rehearsal.run()
    gc.collect()
    gc.freeze()
    # A collection writes to every object it looks at.  What forks lives shortly or, the shims, makes next to no cycles;
    # they switch it on again once their container runs.
    gc.disable()
    nursery = Nursery(daemon, hierarchies, rehearsal.run)
    wire.send(daemon, {"event": "ready", "pid": os.getpid()})
    poll = select.poll()
    poll.register(daemon, select.POLLIN)
    while True:
        if not poll.poll(_QUIET_MS if nursery.is_wanted else _REAP_MS):
            if nursery.is_wanted:
                nursery.fill()
            _reap()
            continue
        message = wire.receive(daemon)
        if message is None:
            return
        with message:
            _serve(message, nursery)


def _reset_signals() -> None:
    """What the daemon's parent ignored (a shell's ``&``: SIGINT and SIGQUIT) is no container's concern."""
    for signum in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGPIPE, signal.SIGXFSZ}:
        if signal.getsignal(signum) is signal.SIG_IGN:
            signal.signal(signum, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _serve(message: wire.Message, nursery: Nursery) -> None:
    op = message.body["op"]
    if op == "spawn":
        nursery.spawn(message)
    elif op == "fill":
        nursery.want()


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main(int(sys.argv[1]))
