"""From a runtime's process to the container's: limits, identity, capabilities, filter, execve.

Shared by init and exec.  Nothing here opens or joins anything: the caller is already where the process shall run, and
the order of steps is the kernel's: without no_new_privs the filter must be loaded while we still may, with it as late
as possible; the bounding set before setuid; the parent-death signal after the last change of credentials.
"""

from __future__ import annotations

import errno
import os
import signal
import stat
from collections.abc import Mapping
from typing import NoReturn

from corten.kernel import capabilities, files, process, seccomp
from corten.runtime.protocol import StepFailure
from corten.runtime.users import Identity
from corten.spec.runtime import Process

_RESET = [signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


def environment(wanted: Process, identity: Identity) -> dict[str, str]:
    """The process's variables; HOME comes from the passwd file where nobody gave one."""
    variables: dict[str, str] = {}
    for entry in wanted.env:
        name, equals, value = entry.partition("=")
        if name and equals:
            variables[name] = value
    if not variables.get("HOME"):
        variables["HOME"] = identity.home
    return variables


def find_program(args: tuple[str, ...], variables: Mapping[str, str], cwd: str) -> str:
    """The path to execute, looked up in the root and directory we are in.  Fails with Docker's words."""
    name = args[0]
    if not name:
        raise StepFailure("exec", errno.ENOENT, 'exec: "": executable file not found in $PATH')
    if "/" in name:
        path = name if name.startswith("/") else os.path.join(cwd, name)
        try:
            status = os.stat(path)
        except OSError as failure:
            words = os.strerror(failure.errno or 0).lower()
            raise StepFailure("exec", failure.errno or 0, f'exec: "{name}": stat {name}: {words}') from None
        if stat.S_ISDIR(status.st_mode):
            raise StepFailure("exec", errno.EISDIR, f'exec: "{name}": is a directory')
        if not status.st_mode & 0o111:
            raise StepFailure("exec", errno.EACCES, f'exec: "{name}": permission denied')
        return path
    for directory in variables.get("PATH", "").split(":"):
        path = os.path.join(cwd, directory or ".", name)
        try:
            status = os.stat(path)
        except OSError:
            continue
        if stat.S_ISREG(status.st_mode) and status.st_mode & 0o111:
            return path
    raise StepFailure("exec", errno.ENOENT, f'exec: "{name}": executable file not found in $PATH')


def restrict(wanted: Process, identity: Identity, program: bytes | None) -> None:
    """Everything up to, but not, execve."""
    limit(wanted)
    step = "set umask"
    try:
        os.umask(0o022 if wanted.user.umask is None else wanted.user.umask)
        step = "change to working directory"
        entered = _enter(wanted.cwd, tolerate=bool(identity.uid))
        if wanted.no_new_privileges:
            process.set_no_new_privs()
        step = "load seccomp filter"
        if program and not wanted.no_new_privileges:
            seccomp.load(program)
        step = "set user and capabilities"
        _change_identity(wanted, identity)
        step = "change to working directory"
        if not entered:
            _enter(wanted.cwd, tolerate=False)
        step = "load seccomp filter"
        if program and wanted.no_new_privileges:
            seccomp.load(program)
    except OSError as failure:
        raise StepFailure.of(step, failure) from None


def limit(wanted: Process) -> None:
    """Resource limits and the score for the out-of-memory killer."""
    step = "set resource limits"
    try:
        for each in wanted.rlimits:
            process.set_rlimit(each.type, each.soft, each.hard)
        step = "set oom_score_adj"
        _set_oom_score(wanted.oom_score_adj)
    except OSError as failure:
        raise StepFailure.of(step, failure) from None


def _set_oom_score(value: int | None) -> None:
    if value is None:
        return
    try:
        files.write_small("/proc/self/oom_score_adj", str(value))
    except PermissionError:
        # Lowering needs CAP_SYS_RESOURCE; for the default it is no failure that the daemon itself is worse off.
        if value != 0:
            raise


def _enter(cwd: str, *, tolerate: bool) -> bool:
    try:
        os.chdir(cwd)
    except PermissionError:
        if not tolerate:
            raise
        return False
    return True


def _change_identity(wanted: Process, identity: Identity) -> None:
    sets = wanted.capabilities
    status = files.read_small("/proc/self/status") if sets is not None else b""
    if sets is not None:
        capabilities.limit_bounding(capabilities.mask(sets.bounding), capabilities.of_text(status, "CapBnd"))
    process.set_keep_caps(True)
    os.setgroups(identity.groups)
    os.setresgid(identity.gid, identity.gid, identity.gid)
    os.setresuid(identity.uid, identity.uid, identity.uid)
    process.set_keep_caps(False)
    if sets is not None:
        # What the machine itself does not grant (we may be in a container) cannot be given.
        available = capabilities.of_text(status, "CapPrm")
        permitted = capabilities.mask(sets.permitted) & available
        inheritable = capabilities.mask(sets.inheritable) & available
        capabilities.capset(capabilities.mask(sets.effective) & permitted, permitted, inheritable)
        ambient = capabilities.mask(sets.ambient) & permitted & inheritable
        capabilities.raise_ambient(ambient)


def execute(path: str, wanted: Process, variables: Mapping[str, str], *, die_with_parent: bool) -> NoReturn:
    """execve, or a StepFailure with Docker's words."""
    for signum in _RESET:
        signal.signal(signum, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    if die_with_parent:
        process.set_parent_death_signal(signal.SIGKILL)
    try:
        os.execve(path, wanted.args, variables)
    except (OSError, ValueError) as failure:
        number = getattr(failure, "errno", None) or errno.EINVAL
        words = os.strerror(number).lower()
        if number == errno.ENOENT:
            words = f"stat {path}: {words}"  # the interpreter of a script, or a loader
        raise StepFailure("exec", number, f'exec: "{wanted.args[0]}": {words}') from None
