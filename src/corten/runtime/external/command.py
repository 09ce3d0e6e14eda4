"""The command line of an OCI runtime: how it is called, and what it says when it fails.

Owns: one call from fork to exit status.  Nothing of ours is inherited but the three streams; with none given, what the
runtime says on its standard error is kept, else its log is asked for in a file.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import select
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from corten.errors import CortenError
from corten.kernel import mounts, process, wire
from corten.kernel.paths import Root
from corten.runtime.protocol import StepFailure

STEP = "runtime"
"""The step of a failure whose message is the runtime's own."""

_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
_OUTPUT = 64 * 1024
_PATIENCE_SECONDS = 100.0  # a runtime that hangs must not hold a container for ever
# What runtimes say of a program that is not there, or may not run; Docker tells them apart by their words as well.
_REASONS = (
    (errno.ENOENT, re.compile(r"not found in \$path|no such file or directory", re.IGNORECASE)),
    (errno.EACCES, re.compile(r"permission denied|is a directory", re.IGNORECASE)),
    (errno.ESRCH, re.compile(r"not running|does not exist|no such process", re.IGNORECASE)),
)


@dataclass(frozen=True, slots=True)
class Runtime:
    """One that is registered with the daemon, as shim.json has it."""

    name: str
    path: str
    root: str  # where it keeps its state
    args: tuple[str, ...] = ()
    init: str = ""  # a small init of the host's, for `docker run --init`

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Runtime:
        return cls(
            name=str(body["name"]),
            path=str(body["path"]),
            root=str(body["root"]),
            args=tuple(body.get("args") or ()),
            init=str(body.get("init") or ""),
        )

    def state_of(self, container_id: str) -> str:
        """Where it keeps what it knows of a container."""
        return f"{self.root}/{container_id}"

    def line(self, *words: str, log: str = "") -> list[str]:
        """The whole command line for one operation."""
        place = ["--log", log] if log else []
        return [self.path, *self.args, "--root", self.root, *place, "--log-format", "json", *words]

    def call(
        self, *words: str, stdio: Sequence[int] = (), log: str = "", prepare: Callable[[], None] | None = None
    ) -> None:
        """Run it to its end; a StepFailure with its words unless it succeeds."""
        output_fd = os.memfd_create("corten-runtime", os.MFD_CLOEXEC)
        try:
            status = run(self.line(*words, log=log), stdio or _silent(output_fd), prepare)
            if status:
                texts = [os.pread(output_fd, _OUTPUT, 0)]
                with contextlib.suppress(OSError), open(log, "rb") as stream:
                    texts.append(stream.read(_OUTPUT))
                raise failure(self.path, status, texts)
        finally:
            os.close(output_fd)


def forget(state: str) -> None:
    """Remove what a runtime knew of a container that has ended, where it can no longer do that itself."""
    if not os.path.lexists(state) or any(each.target.startswith(state) for each in mounts.mountinfo()):
        return  # never into a mount: what is behind it is not the runtime's
    with contextlib.suppress(OSError), Root.at(os.path.dirname(state)) as root:
        root.rmtree(os.path.basename(state))


def _silent(output_fd: int) -> list[int]:
    null_fd = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)  # for as long as this process lives, which is short
    return [null_fd, output_fd, output_fd]


def run(line: Sequence[str], stdio: Sequence[int], prepare: Callable[[], None] | None = None) -> int:
    """Execute; the exit status, 128+n for a signal.  ``prepare`` is called in the new process first."""
    ours, theirs = wire.pair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        _become(line, stdio, prepare, theirs)
    theirs.close()
    with ours:
        message = wire.receive(ours)
    pidfd = os.pidfd_open(pid)
    if not select.select([pidfd], [], [], _PATIENCE_SECONDS)[0]:
        os.kill(pid, signal.SIGKILL)
    os.close(pidfd)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if message is not None:
        raise StepFailure.parse(message.body["failed"])
    return status if status >= 0 else 128 - status


def _become(
    line: Sequence[str], stdio: Sequence[int], prepare: Callable[[], None] | None, channel: socket.socket
) -> NoReturn:
    program = ""  # what an error without a name is about: nothing yet
    try:
        if prepare:
            prepare()
        program = line[0]
        moved = [os.dup(fd) if fd < 3 else fd for fd in stdio]
        for target, fd in enumerate(moved):
            os.dup2(fd, target)
        process.close_all_but({channel.fileno()})
        os.chdir("/")
        # An ignored signal stays ignored over execve, down to the container's process.
        for signum in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            with contextlib.suppress(OSError):
                signal.signal(signum, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execvpe(line[0], list(line), _ENVIRONMENT)
    except BaseException as problem:
        with contextlib.suppress(OSError):
            wire.send(channel, {"failed": report(problem, program).to_json()})
    os._exit(127)


def report(problem: BaseException, path: str = "") -> StepFailure:
    """What went wrong in a helper, for whoever asked for it."""
    if isinstance(problem, CortenError):
        return StepFailure("find user", errno.EINVAL, problem.message)
    if isinstance(problem, OSError) and path and problem.filename in (path, None):
        words = (problem.strerror or str(problem)).lower()
        return StepFailure(STEP, problem.errno or 0, f"unable to run the OCI runtime: fork/exec {path}: {words}")
    return StepFailure.of(STEP, problem)


def failure(path: str, status: int, texts: Sequence[bytes]) -> StepFailure:
    """The runtime's last error, of its log or its standard error."""
    message = ""
    for line in b"\n".join(texts).decode(errors="replace").splitlines():
        message = _error_of(line) or message
    if not message:
        words = b"\n".join(texts).decode(errors="replace").strip()
        message = words.splitlines()[-1] if words else f"{os.path.basename(path)} ended with status {status}"
    number = next((number for number, pattern in _REASONS if pattern.search(message)), 0)
    return StepFailure(STEP, number, _in_lower_case(message))


def _error_of(line: str) -> str:
    try:
        entry = json.loads(line)
    except ValueError:
        return ""
    if not isinstance(entry, dict) or str(entry.get("level") or "error") not in ("error", "fatal", "panic"):
        return ""
    return str(entry.get("msg") or "")


def _in_lower_case(message: str) -> str:
    """Docker's clients look for the kernel's words in lower case; C programs write them with a capital."""
    for words in ("No such file or directory", "Permission denied", "Is a directory"):
        message = message.replace(words, words.lower())
    return message
