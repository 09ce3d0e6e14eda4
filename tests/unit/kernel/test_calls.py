"""Lists of system calls, made here and by a process of their own."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

import pytest

from corten.kernel.calls import Call, CallFailed, Launch, perform


def shell(text: str, *env: bytes) -> Call:
    return Call.of("run", "execve", b"/bin/sh", [b"sh", b"-c", text.encode()], env)


def children() -> set[str]:
    """Those that have ended and that nobody has collected included; other tests' daemons may be among them."""
    return set(Path("/proc/thread-self/children").read_text().split())


def test_launch_makes_the_calls_and_executes(tmp_path: Path) -> None:
    out_fd = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT, 0o644)
    umask, where = os.umask(0o022), os.getcwd()
    launch = Launch(
        [
            Call.of("a", "setsid"),
            Call.of("b", "chdir", os.fsencode(tmp_path)),
            Call.of("c", "umask", 0o077),
            Call.of("d", "dup3", out_fd, 1, 0),
            shell("pwd; umask; echo $A; ps -o sid= -p $$ | tr -d ' '; echo $$; exit 7", b"A=b c"),
        ]
    )
    pid, pidfd = launch.go()
    try:
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
        assert (tmp_path / "out").read_text().split("\n")[:5] == [str(tmp_path), "0077", "b c", str(pid), str(pid)]
        assert os.getcwd() == where
        assert os.umask(umask) == 0o022
        with pytest.raises(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, 0)
    finally:
        os.close(pidfd)
        os.close(out_fd)


@pytest.mark.parametrize(("calls", "step"), [([], "run"), ([Call.of("go", "chdir", b"/nowhere/at/all")], "go")])
def test_a_refused_call_ends_the_process_and_is_told(calls: list[Call], step: str) -> None:
    before = children()
    with pytest.raises(CallFailed) as caught:
        Launch([*calls, Call.of("run", "execve", b"/nowhere/at/all", [b"x"], [])]).go()
    assert (caught.value.errno, caught.value.call.step) == (errno.ENOENT, step)
    assert children() <= before


def test_perform_stops_at_what_is_refused(tmp_path: Path) -> None:
    where = os.getcwd()
    try:
        with pytest.raises(CallFailed, match="No such file"):
            perform([Call.of("in", "chdir", os.fsencode(tmp_path)), Call.of("out", "chdir", b"nowhere"), shell("")])
        assert os.getcwd() == str(tmp_path)
    finally:
        os.chdir(where)
