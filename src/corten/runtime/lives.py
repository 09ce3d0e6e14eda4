"""A shim's process: it sleeps until its container needs it, and may hold another container afterwards.

While it sleeps it has touched as little memory as can be: that is what an idle container costs.  A next life spares
the forks of shim and creator and the warming up of both, most of the work of many short containers at a time.
"""

from __future__ import annotations

import gc
import json
import os
import select
import socket
import traceback
from typing import NoReturn

from corten.kernel import process
from corten.runtime import spawn
from corten.runtime.cgroup import Hierarchies
from corten.runtime.shim import Shim, bury


def main(creator: spawn.Child, hierarchies: Hierarchies) -> NoReturn:
    """Runs in a fork of the zygote; never returns.  What there is to live for comes from the creator."""
    status = 1
    try:
        os.setsid()
        process.set_name("corten-shim")
        process.leave_session_keyring()  # execs inherit ours; init leaves it in turn
        process.set_child_subreaper(True)  # orphans of a container come to us, not to the host
        while _live(creator, hierarchies):
            assert creator.channel is not None
            gc.collect()  # what of the former life still held a descriptor
            process.close_all_but({creator.channel.fileno()})
        status = 0
    except BaseException:
        traceback.print_exc()  # to runtime.log
    finally:
        os._exit(status)


def _live(creator: spawn.Child, hierarchies: Hierarchies) -> bool:
    """One container's life; whether another may follow."""
    estate, fds = sleep(creator)
    if not estate:
        return False  # the creator has failed, and has told the daemon why; or nobody wants us
    body = json.loads(estate)
    shim = Shim(body, dict(zip(body["fds"], fds, strict=True)), hierarchies, creator)
    gc.enable()
    shim.loop.run()
    return shim.next_life()


def sleep(creator: spawn.Child) -> tuple[bytes, list[int]]:
    """Take the estate and wait, having touched as little memory as can be, until something happens to it.

    Its first byte says how many of the descriptors, the first ones, are to be watched; with none there is no sleep.
    """
    assert creator.channel is not None
    data, fds, _, _ = socket.recv_fds(creator.channel, 1 << 20, 128)
    if data and data[0]:
        poll = select.poll()
        poll.register(creator.channel, select.POLLIN)
        for fd in fds[: data[0]]:
            poll.register(fd, select.POLLIN)
        if [fd for fd, _ in poll.poll()] == [creator.channel.fileno()]:
            poll.unregister(creator.channel)
            bury(creator)
            poll.poll()
    return data[1:], fds
