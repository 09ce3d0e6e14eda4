"""A container's first process, from clone3 to execve.

Runs in the new namespaces, forked from the shim.  It makes what the container sees, reports ``ready`` with the
descriptors that the daemon wants, waits for the word to start, becomes the container's process.  A failure is reported
with the step in which it happened.  What happens in which order is told by ``_prepare``; how, by the modules it calls.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from corten.errors import CortenError
from corten.kernel import files, flags, mounts, namespaces, process, tty, wire
from corten.kernel.paths import Root
from corten.runtime import become, idmapped, reaper, root_mount, rootfs, users
from corten.runtime.protocol import StepFailure
from corten.runtime.stdio import lend
from corten.spec.runtime import Mount, Spec


@dataclass(slots=True)
class Plan:
    """What the shim has decided and opened before the fork."""

    spec: Spec
    root_mounts: tuple[Mount, ...]
    mount_point: str
    operations: list[rootfs.Operation]
    joins_groups: bool  # the files to join by come over the channel
    stdio: Sequence[int]  # three descriptors; none with a terminal
    program: bytes | None  # seccomp
    namespace_fds: dict[str, int] = field(default_factory=dict)  # namespaces to join, by OCI's name
    new_namespaces: int = 0  # clone flags of those that we are born into
    is_alone: bool = False  # the first steps have been done: see cradle.py
    reap: bool = False  # stay as pid 1 in front of the process (docker run --init)
    die_with_shim: bool = True
    prepared: idmapped.Prepared | None = None  # with a user namespace of our own: what we could not open ourselves


class _Steps:
    """The name of what is being done, for the report."""

    def __init__(self) -> None:
        self.name = "begin"


def main(plan: Plan, channel: socket.socket) -> NoReturn:
    """Never returns: executes, or reports and exits."""
    steps = _Steps()
    try:
        _run(plan, channel, steps)
    except CortenError as failure:
        report = StepFailure(steps.name, 22, failure.message)
    except StepFailure as failure:
        report = failure
    except BaseException as failure:
        report = StepFailure.of(steps.name, failure)
    with contextlib.suppress(OSError):
        wire.send(channel, {"failed": report.to_json()})
    os._exit(1)


def _run(plan: Plan, channel: socket.socket, steps: _Steps) -> NoReturn:
    wanted = plan.spec.process
    if plan.prepared:
        steps.name = "map users"
        if wire.receive(channel) is None:
            os._exit(1)
        idmapped.become_root()
    _enter(plan, steps)
    slave_fd, fds = _prepare(plan, channel, steps)
    steps.name = "find user"
    with Root.at("/") as root:
        identity = users.identify(wanted.user, root)
    variables = become.environment(wanted, identity)
    steps.name = "find program"
    path = become.find_program(wanted.args, variables, wanted.cwd)

    wire.send(channel, {"ready": True}, fds)
    for fd in fds:
        os.close(fd)
    if wire.receive(channel) is None:
        os._exit(1)  # nobody will ever start us

    steps.name = "open streams"
    take_streams(plan.stdio, slave_fd, identity.uid)
    process.close_all_but({channel.fileno()})
    become.restrict(wanted, identity, plan.program)
    steps.name = "exec"
    if plan.reap:
        title = " ".join(("/sbin/docker-init", "--", *wanted.args))
        reaper.fork_and_serve(channel, terminal=wanted.terminal, die_with_parent=plan.die_with_shim, title=title)
    become.execute(path, wanted, variables, die_with_parent=plan.die_with_shim and not plan.reap)


def be_alone() -> None:
    """No longer a part of what forked us: out of its session and from its keys, and not to be looked into."""
    signal.set_wakeup_fd(-1)
    process.set_dumpable(False)
    os.setsid()
    process.leave_session_keyring()
    os.umask(0)


def _enter(plan: Plan, steps: _Steps) -> None:
    """Be in the right namespaces and session."""
    if not plan.is_alone:
        be_alone()
    steps.name = "join namespaces"
    for kind, fd in plan.namespace_fds.items():
        namespaces.setns(fd, namespaces.CLONE_FLAGS[kind])
        os.close(fd)
    steps.name = "set host name"
    if plan.new_namespaces & flags.CLONE_NEWUTS:
        if plan.spec.hostname:
            process.set_hostname(plan.spec.hostname)
        if plan.spec.domainname:
            process.set_domainname(plan.spec.domainname)
    if plan.new_namespaces & flags.CLONE_NEWNET and not plan.is_alone:
        steps.name = "switch on loopback"
        process.loopback_up()
    for name, value in plan.spec.linux.sysctl.items():
        steps.name = f"set sysctl {name}"
        files.write_small(f"/proc/sys/{name.replace('.', '/')}", value)


def _join_groups(plan: Plan, channel: socket.socket, steps: _Steps) -> None:
    steps.name = "join control groups"
    if plan.joins_groups:
        message = wire.receive(channel)
        if message is None:
            os._exit(1)  # the creator has failed, and has said so
        with message:
            for index in range(message.fd_count):
                fd = message.take(index)
                os.write(fd, b"0")
                os.close(fd)
    if plan.spec.linux.namespaces.get("cgroup") == "":
        # Only now: the groups we are in become the root that the container sees.
        namespaces.unshare(flags.CLONE_NEWCGROUP)


def _prepare(plan: Plan, channel: socket.socket, steps: _Steps) -> tuple[int, list[int]]:
    """Make the root and move into it.  The terminal's slave (or -1), and the descriptors to report."""
    site = plan.prepared.site if plan.prepared else rootfs.Site(Root(-1))
    for operation in plan.operations if plan.prepared is None else ():
        if isinstance(operation, rootfs.BindMount):
            steps.name = operation.describe()
            operation.collect(site)
    steps.name = "cut mount propagation"
    shared = plan.spec.linux.rootfs_propagation.removeprefix("r") == "shared"
    mounts.mount_setattr("/", propagation=flags.MS_SLAVE, recursive=True)
    steps.name = "mount root"
    if plan.prepared:
        site.root = idmapped.attach(plan.prepared)
    else:
        site.root = Root(root_mount.attach(plan.root_mounts, plan.mount_point))
    _join_groups(plan, channel, steps)
    for operation in plan.operations:
        steps.name = operation.describe()
        operation.perform(site)
    steps.name = "pivot_root"
    os.fchdir(site.root.fd)
    mounts.pivot_root(".", ".")
    mounts.umount2(".", flags.MNT_DETACH)
    os.chdir("/")
    if shared:
        mounts.mount_setattr("/", propagation=flags.MS_SHARED, recursive=True)
    steps.name = "open network namespace"
    fds = [os.open("/", flags.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)]
    if not plan.is_alone:
        fds.append(namespaces.open_of("self", "network") if os.path.exists("/proc/self") else _netns_without_proc())
        fds.append(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0).detach())
    slave_fd = -1
    if plan.spec.process.terminal:
        steps.name = "open terminal"
        master_fd, slave_fd = open_terminal()
        fds.append(master_fd)
        with contextlib.suppress(OSError), Root.at("/") as root:
            _bind_console(root, slave_fd)
    return slave_fd, fds


_SIOCGSKNS = 0x894C


def _netns_without_proc() -> int:
    """A container need not have /proc: a socket knows its namespace too.  See SIOCGSKNS."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        return process.ioctl_fd(sock.fileno(), _SIOCGSKNS)


def open_terminal() -> tuple[int, int]:
    """Master and slave from the devpts of the root we are in."""
    try:
        return tty.open_pair("/dev/pts/ptmx")
    except FileNotFoundError:
        return tty.open_pair("/dev/ptmx")


def _bind_console(root: Root, slave_fd: int) -> None:
    target_fd = root.ensure_file("/dev/console", 0o600)
    try:
        fd = mounts.open_tree("", dir_fd=slave_fd)
        try:
            mounts.move_mount(fd, target_fd)
        finally:
            os.close(fd)
    finally:
        os.close(target_fd)


def take_streams(stdio: Sequence[int], slave_fd: int, uid: int) -> None:
    """Make pipes or the terminal 0, 1 and 2.  Pipes get the user as owner, so that /dev/stderr can be opened."""
    if slave_fd >= 0:
        tty.make_controlling(slave_fd)
        os.fchown(slave_fd, uid, -1)
        stdio = (slave_fd, slave_fd, slave_fd)
    elif uid:
        lend(stdio, uid)
    # First out of the way, so that no dup2 overwrites a descriptor that is still wanted.
    moved = [os.dup(fd) if fd < 3 else fd for fd in stdio]
    for target, fd in enumerate(moved):
        os.dup2(fd, target)
