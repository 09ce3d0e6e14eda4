"""The only CDLL: every foreign function declared once, failing with ``OSError(errno, call, path)``.

Calls that the C library wraps only since recently go through syscall(2); from 424 on their numbers are the same on
every architecture we run on.  Names and parameters are the man pages'; read them there.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from ctypes import c_char_p, c_int, c_long, c_size_t, c_uint, c_uint64, c_ulong, c_void_p
from typing import Any

_lib = ctypes.CDLL(None, use_errno=True)
# Keeps the interpreter lock: for clone3, whose child must not find it in the hands of nobody.
_locked_lib = ctypes.PyDLL(None, use_errno=True)


def _checked(name: str) -> Callable[[Any, Any, tuple[Any, ...]], Any]:
    def errcheck(result: Any, function: Any, arguments: tuple[Any, ...]) -> Any:
        if result == -1:
            errno = ctypes.get_errno()
            path = next((each for each in arguments if isinstance(each, bytes) and each), None)
            raise OSError(errno, f"{name}: {os.strerror(errno)}", os.fsdecode(path) if path else None)
        return result

    return errcheck


def _declare(name: str, *argtypes: Any, restype: Any = c_int) -> Any:
    function = _lib[name]
    function.argtypes = argtypes
    function.restype = restype
    function.errcheck = _checked(name)
    return function


def _syscall(name: str, number: int, *argtypes: Any, lib: ctypes.CDLL = _lib) -> Any:
    function = lib["syscall"]
    function.argtypes = (c_long, *argtypes)
    function.restype = c_long
    function.errcheck = _checked(name)

    def call(*arguments: Any) -> int:
        return int(function(number, *arguments))

    return call


mount = _declare("mount", c_char_p, c_char_p, c_char_p, c_ulong, c_char_p)
umount2 = _declare("umount2", c_char_p, c_int)
unshare = _declare("unshare", c_int)
setns = _declare("setns", c_int, c_int)
prctl = _declare("prctl", c_int, c_ulong, c_ulong, c_ulong, c_ulong)
sethostname = _declare("sethostname", c_char_p, c_size_t)
setdomainname = _declare("setdomainname", c_char_p, c_size_t)
capget = _declare("capget", c_void_p, c_void_p)
personality = _declare("personality", c_ulong)
clone = _declare("clone", c_void_p, c_void_p, c_int, c_void_p, c_void_p, c_void_p, c_void_p)
mmap = _declare("mmap", c_void_p, c_size_t, c_int, c_int, c_int, c_long, restype=c_long)
mprotect = _declare("mprotect", c_void_p, c_size_t, c_int)
syscall = _declare("syscall", c_long, *[c_ulong] * 6, restype=c_long)
_lib.setfsuid.argtypes = _lib.setfsgid.argtypes = (c_uint,)  # they never fail: they tell what was before
setfsuid, setfsgid = _lib.setfsuid, _lib.setfsgid
inotify_init1 = _declare("inotify_init1", c_int)
inotify_add_watch = _declare("inotify_add_watch", c_int, c_char_p, c_uint)

_BY_MACHINE = {  # pivot_root, bpf, keyctl, sched_setattr
    "x86_64": (155, 321, 250, 314),
    "aarch64": (41, 280, 219, 274),
}
_pivot_root, _bpf, _keyctl, _sched_setattr = _BY_MACHINE.get(os.uname().machine, _BY_MACHINE["aarch64"])

pivot_root = _syscall("pivot_root", _pivot_root, c_char_p, c_char_p)
bpf = _syscall("bpf", _bpf, c_int, c_void_p, c_uint)
sched_setattr = _syscall("sched_setattr", _sched_setattr, c_int, c_void_p, c_uint)
keyctl = _syscall("keyctl", _keyctl, c_int, c_void_p)
open_tree = _syscall("open_tree", 428, c_int, c_char_p, c_uint)
move_mount = _syscall("move_mount", 429, c_int, c_char_p, c_int, c_char_p, c_uint)
fsopen = _syscall("fsopen", 430, c_char_p, c_uint)
fsconfig = _syscall("fsconfig", 431, c_int, c_uint, c_char_p, c_char_p, c_int)
fsmount = _syscall("fsmount", 432, c_int, c_uint, c_uint)
clone3 = _syscall("clone3", 435, c_void_p, c_size_t, lib=_locked_lib)
close_range = _syscall("close_range", 436, c_uint, c_uint, c_uint)
openat2 = _syscall("openat2", 437, c_int, c_char_p, c_void_p, c_size_t)
pidfd_getfd = _syscall("pidfd_getfd", 438, c_int, c_int, c_uint)
mount_setattr = _syscall("mount_setattr", 442, c_int, c_char_p, c_uint, c_void_p, c_size_t)


class OpenHow(ctypes.Structure):
    """struct open_how of openat2(2)."""

    _fields_ = (("flags", c_uint64), ("mode", c_uint64), ("resolve", c_uint64))


class MountAttr(ctypes.Structure):
    """struct mount_attr of mount_setattr(2)."""

    _fields_ = (("attr_set", c_uint64), ("attr_clr", c_uint64), ("propagation", c_uint64), ("userns_fd", c_uint64))


class CloneArgs(ctypes.Structure):
    """struct clone_args of clone3(2)."""

    _fields_ = tuple(
        (name, c_uint64)
        for name in (
            "flags",
            "pidfd",
            "child_tid",
            "parent_tid",
            "exit_signal",
            "stack",
            "stack_size",
            "tls",
            "set_tid",
            "set_tid_size",
            "cgroup",
        )
    )
