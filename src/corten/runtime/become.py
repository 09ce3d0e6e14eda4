"""From a runtime's process to the container's: limits, identity, capabilities, filter, execve.

Shared by init and exec.  Nothing here opens or joins anything: the caller is already where the process shall run, and
the order of steps is the kernel's: without no_new_privs the filter must be loaded while we still may, with it as late
as possible; the bounding set before setuid; the parent-death signal after the last change of credentials.
"""

from __future__ import annotations

import errno
import os
import resource
import signal
import stat
import struct
from collections.abc import Mapping
from typing import NoReturn

from corten.kernel import calls, capabilities, files, flags, process, seccomp
from corten.kernel.calls import Call, CallFailed
from corten.runtime.protocol import StepFailure
from corten.runtime.users import Identity
from corten.spec.runtime import Process

_INFINITY = 2**64 - 1
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
    """Everything up to, but not, execve, here and now."""
    set_oom_score(wanted.oom_score_adj)
    entered, status = enter(wanted, identity), files.read_small("/proc/self/status")
    try:
        calls.perform(restriction(wanted, identity, program, status, entered))
    except CallFailed as failure:
        raise StepFailure.of(failure.call.step, failure) from None


def enter(wanted: Process, identity: Identity) -> bool:
    """Go to the working directory.  False if that has to wait until we are the user."""
    try:
        os.chdir(wanted.cwd)
    except OSError as failure:
        if isinstance(failure, PermissionError) and identity.uid:
            return False
        raise StepFailure.of("change to working directory", failure) from None
    return True


def restriction(wanted: Process, identity: Identity, program: bytes | None, status: bytes, entered: bool) -> list[Call]:
    """The calls that make a process of ours the container's.  ``status`` is /proc/PID/status of who shall make them."""
    load = [seccomp.loading("load seccomp filter", program)] if program else []
    chdir = [] if entered else [Call.of("change to working directory", "chdir", os.fsencode(wanted.cwd))]
    before = [Call.of("set no_new_privs", "prctl", flags.PR_SET_NO_NEW_PRIVS, 1)] if wanted.no_new_privileges else load
    after = load if wanted.no_new_privileges else []
    umask = Call.of("set umask", "umask", 0o022 if wanted.user.umask is None else wanted.user.umask)
    return [*limits(wanted), umask, *before, *_change_identity(wanted, identity, status), *chdir, *after]


def limits(wanted: Process) -> list[Call]:
    """Resource limits."""
    made = []
    for each in wanted.rlimits:
        number = getattr(resource, each.type, None)
        if number is None:
            raise StepFailure("set resource limits", errno.EINVAL, f"unknown resource limit {each.type}")
        # A negative number, and one that is too large, are RLIM_INFINITY.
        soft, hard = (_INFINITY if value < 0 or value >= 2**63 else value for value in (each.soft, each.hard))
        made.append(Call.of("set resource limits", "prlimit64", 0, number, struct.pack("=QQ", soft, hard)))
    return made


def set_oom_score(value: int | None) -> None:
    """The score for the out-of-memory killer, which children inherit."""
    if value is None:
        return
    try:
        files.write_small("/proc/self/oom_score_adj", str(value))
    except OSError as failure:
        # Lowering needs CAP_SYS_RESOURCE; for the default it is no failure that the daemon itself is worse off.
        if value != 0 or not isinstance(failure, PermissionError):
            raise StepFailure.of("set oom_score_adj", failure) from None


def _change_identity(wanted: Process, identity: Identity, status: bytes) -> list[Call]:
    step, sets = "set user and capabilities", wanted.capabilities
    groups = struct.pack(f"={len(identity.groups)}I", *identity.groups)
    change = [
        Call.of(step, "prctl", flags.PR_SET_KEEPCAPS, 1),
        Call.of(step, "setgroups", len(identity.groups), groups),
        Call.of(step, "setresgid", identity.gid, identity.gid, identity.gid),
        Call.of(step, "setresuid", identity.uid, identity.uid, identity.uid),
        Call.of(step, "prctl", flags.PR_SET_KEEPCAPS, 0),
    ]
    if sets is None:
        return change
    bounding, available = (capabilities.of_text(status, name) for name in ("CapBnd", "CapPrm"))
    # What the machine itself does not grant (we may be in a container) cannot be given.
    permitted = capabilities.mask(sets.permitted) & available
    inheritable = capabilities.mask(sets.inheritable) & available
    return [
        *capabilities.limiting_bounding(step, capabilities.mask(sets.bounding), bounding),
        *change,
        capabilities.setting(step, capabilities.mask(sets.effective) & permitted, permitted, inheritable),
        *capabilities.raising_ambient(step, capabilities.mask(sets.ambient) & permitted & inheritable),
    ]


def reset_signals() -> None:
    """As a program expects to find them."""
    for signum in _RESET:
        signal.signal(signum, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def execution(path: str, wanted: Process, variables: Mapping[str, str]) -> Call:
    """The call that ends a list."""
    texts = [os.fsencode(each) for each in (path, *wanted.args)]
    env = [os.fsencode(f"{name}={value}") for name, value in variables.items()]
    if any(b"\0" in each for each in (*texts, *env)):
        raise not_executed(path, wanted, errno.EINVAL)
    return Call.of("exec", "execve", texts[0], texts[1:], env)


def not_executed(path: str, wanted: Process, number: int) -> StepFailure:
    """What to say of a failed execve, in Docker's words."""
    words = os.strerror(number).lower()
    if number == errno.ENOENT:
        words = f"stat {path}: {words}"  # the interpreter of a script, or a loader
    return StepFailure("exec", number, f'exec: "{wanted.args[0]}": {words}')


def execute(path: str, wanted: Process, variables: Mapping[str, str], *, die_with_parent: bool) -> NoReturn:
    """execve, or a StepFailure with Docker's words."""
    reset_signals()
    if die_with_parent:
        process.set_parent_death_signal(signal.SIGKILL)
    try:
        os.execve(path, wanted.args, variables)
    except (OSError, ValueError) as failure:
        raise not_executed(path, wanted, getattr(failure, "errno", None) or errno.EINVAL) from None
