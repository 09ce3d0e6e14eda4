"""An init that is born before anybody asks for it: namespaces made, pages its own, waiting for a bundle.

Making namespaces, and copying the pages that a new process touches for the first time, takes as long as all that init
does afterwards.  Most containers want the same new namespaces, so the creator that waits in the nursery has one such
init waiting beside it.  It gets a mount namespace only when it is asked, so that it holds nothing of the host's and
sees what is mounted then; it reads the bundle itself, while the creator does.

Only for control groups of version 1: those of version 2 are entered by being born into them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from corten.kernel import flags, namespaces, process, wire
from corten.runtime import init, spawn
from corten.runtime.bundle import Bundle
from corten.runtime.cgroup import Hierarchies
from corten.runtime.protocol import StepFailure

_NEW = flags.CLONE_NEWPID | flags.CLONE_NEWNET | flags.CLONE_NEWIPC | flags.CLONE_NEWUTS
_KINDS = frozenset(("pid", "network", "ipc", "uts", "mount"))


def fill(hierarchies: Hierarchies, rehearse: Callable[[], None]) -> spawn.Child | None:
    """Fork one; None where it would be of no use."""
    if hierarchies.version == 2:
        return None
    ours, theirs = wire.pair()
    pid, pidfd = process.clone3(_NEW, for_parent=True)
    if pid == 0:
        ours.close()
        _main(theirs, hierarchies, rehearse)
    theirs.close()
    return spawn.Child(pid, pidfd, ours)


def fits(body: Mapping[str, Any]) -> bool:
    """Whether a spec, not parsed yet, wants just the namespaces that the waiting init has."""
    listed = (body.get("linux") or {}).get("namespaces") or ()
    kinds = {each.get("type") for each in listed if not each.get("path")}
    return kinds - {"cgroup"} == _KINDS and len(kinds) == len(listed)


def born(child: spawn.Child) -> tuple[int, int] | None:
    """Its network namespace and a netlink socket of that; None if somebody has killed it."""
    assert child.channel is not None
    message = wire.receive(child.channel)
    return None if message is None else (message.take(0), message.take(1))


def wake(child: spawn.Child, bundle: Bundle, group_path: str, stdio: Sequence[int]) -> None:
    """Tell it what to become.  BrokenPipeError if somebody has killed it."""
    assert child.channel is not None
    wire.send(child.channel, {"bundle": bundle.path, "group": group_path}, stdio)


def _main(channel: socket.socket, hierarchies: Hierarchies, rehearse: Callable[[], None]) -> NoReturn:
    """In the new process."""
    try:
        process.set_parent_death_signal(signal.SIGKILL)
        init.be_alone()
        process.loopback_up()
        rehearse()  # before the creator goes on: a page that is ours by then it need not copy
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0) as netlink:
            netns_fd = namespaces.open_of("self", "network")
            wire.send(channel, {"born": True}, [netns_fd, netlink.fileno()])
            os.close(netns_fd)
        message = wire.receive(channel)
        if message is None:
            os._exit(0)  # nobody has asked
        bundle = Bundle(str(message.body["bundle"]))
        stdio = [message.take(index) for index in range(message.fd_count)]
        namespaces.unshare(flags.CLONE_NEWNS)
        spec = bundle.spec()
        plan = spawn.plan(bundle, spec, hierarchies.group(str(message.body["group"])), stdio)
        plan.new_namespaces = _NEW | flags.CLONE_NEWNS
        plan.is_alone = True
    except BaseException as failure:
        with contextlib.suppress(OSError):
            wire.send(channel, {"failed": StepFailure.of("begin", failure).to_json()})
        os._exit(1)
    init.main(plan, channel)
