"""Kernel parameters of a container (``--sysctl``): only those that are its own.

Owns: which parameter belongs to which namespace.  Any other would be the whole machine's, and is refused.  Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from corten.errors import Invalid

_IPC = frozenset(
    {"msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced"},
)


def check(host: Mapping[str, Any]) -> None:
    """Raise Invalid, in runc's words, for what is not in a namespace of the container's own."""
    for given in host["Sysctls"] or {}:
        name = given.replace("/", ".")
        group, _, rest = name.partition(".")
        if (group == "kernel" and rest in _IPC) or name.startswith("fs.mqueue."):
            if host["IpcMode"] == "host":
                raise Invalid(f'sysctl "{given}" is not allowed in the hosts ipc namespace')
        elif group == "net":
            if host["NetworkMode"] == "host":
                raise Invalid(f'sysctl "{given}" not allowed in host network namespace')
        elif name == "kernel.domainname":
            if host["UTSMode"] == "host":
                raise Invalid(f'sysctl "{given}" is not allowed in the hosts uts namespace')
        else:
            raise Invalid(f'sysctl "{given}" is not in a separate kernel namespace')
