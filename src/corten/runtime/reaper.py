"""A small pid 1 in front of a container's process: forwards signals, reaps orphans, ends with the process's status.

This is what ``docker run --init`` asks for.  It has the container's credentials, limits and filter, and nothing open
but the standard streams.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from typing import NoReturn

from corten.kernel import process

_KEPT = {signal.SIGCHLD, signal.SIGTTIN, signal.SIGTTOU, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV, signal.SIGBUS}
_FORWARDED = signal.valid_signals() - _KEPT - {signal.SIGKILL, signal.SIGSTOP, signal.SIGABRT, signal.SIGTRAP}


def fork_and_serve(channel: socket.socket, *, terminal: bool, die_with_parent: bool, title: str) -> None:
    """Returns in the child, which executes; the parent stays here for the rest of its life."""
    watched = _FORWARDED | {signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        if terminal:
            signal.signal(signal.SIGTTOU, signal.SIG_IGN)
            with contextlib.suppress(OSError):
                os.tcsetpgrp(0, os.getpid())
            signal.signal(signal.SIGTTOU, signal.SIG_DFL)
        return
    # The channel ends when the child executes; our copy must not keep it open.
    channel.close()
    if die_with_parent:
        process.set_parent_death_signal(signal.SIGKILL)
    process.set_name("corten-init")
    process.set_title(title)
    _serve(child, watched)


def _serve(child: int, watched: set[signal.Signals]) -> NoReturn:
    while True:
        received = signal.sigwaitinfo(watched)
        if received.si_signo != signal.SIGCHLD:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, received.si_signo)
            continue
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            if pid == child:
                code = os.waitstatus_to_exitcode(status)
                os._exit(code if code >= 0 else 128 - code)
