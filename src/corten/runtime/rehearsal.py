"""What every start does that needs no kernel, done once for nothing.

In the zygote it fills caches (the common filter, the interpreter's own specialised code) before they are shared; in a
waiting shim it makes the pages its own that would otherwise be copied one by one while somebody waits.
"""

from __future__ import annotations

import json
from typing import Any

from corten.kernel import calls, capabilities, files, wire
from corten.runtime import become, rootfs, seccomp_profile, users
from corten.runtime.cgroup import devices, limits
from corten.runtime.mount_options import MountOptions
from corten.runtime.protocol import StepFailure
from corten.spec.runtime import Process, Spec

DEFAULT_CAPABILITIES = tuple(
    f"CAP_{name}"
    for name in (
        "CHOWN",
        "DAC_OVERRIDE",
        "FSETID",
        "FOWNER",
        "MKNOD",
        "NET_RAW",
        "SETGID",
        "SETUID",
        "SETFCAP",
        "SETPCAP",
        "NET_BIND_SERVICE",
        "SYS_CHROOT",
        "KILL",
        "AUDIT_WRITE",
    )
)
_SAFE = ["nosuid", "noexec", "nodev"]
_SAMPLE: dict[str, Any] = {
    "process": {
        "args": ["/bin/true", "-x"],
        "env": ["PATH=/usr/bin:/bin", "TERM=xterm"],
        "cwd": "/",
        "user": {"username": "root"},
        "capabilities": dict.fromkeys(("bounding", "effective", "permitted", "inheritable"), DEFAULT_CAPABILITIES),
        "oomScoreAdj": 0,
        "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 2048}],
    },
    "root": {"readonly": True},
    "hostname": "rehearsal",
    "mounts": [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": _SAFE},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=65536k"]},
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro", *_SAFE]},
        {"destination": "/etc/hosts", "type": "bind", "source": "/etc/hosts", "options": ["rbind", "rprivate", "rro"]},
    ],
    "linux": {
        "namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount", "cgroup")],
        "resources": {
            "memory": {"limit": 1, "swap": 2},
            "cpu": {"shares": 1024},
            "pids": {"limit": 100},
            "devices": [{"allow": False, "access": "rwm"}, {"allow": True, "type": "c", "major": 1, "minor": 3}],
        },
        "maskedPaths": ["/proc/kcore", "/proc/keys", "/sys/firmware"],
        "readonlyPaths": ["/proc/bus", "/proc/sys"],
    },
}


def run() -> None:
    """Harmless, and a few milliseconds long."""
    text = json.dumps(_SAMPLE)
    spec = Spec.parse(json.loads(text))
    for operation in rootfs.plan(spec, [("/sys/fs/cgroup/pids/x", "pids"), ("/sys/fs/cgroup/cpu/x", "cpu,cpuacct")]):
        operation.describe()
    for mount in spec.mounts:
        MountOptions.parse(mount.options)
    for rule in devices.rules(spec.linux.resources):
        devices.line(rule)
    limits.lower_v1(spec.linux.resources)
    limits.lower_v2(spec.linux.resources)
    assert spec.process.capabilities is not None
    capabilities.mask(spec.process.capabilities.bounding)
    seccomp_profile.default_program(frozenset(DEFAULT_CAPABILITIES))
    enter()
    StepFailure.of("rehearsal", OSError(2, "nothing", "/x")).to_json()
    _talk()


def enter() -> None:
    """The part of it that an exec does too."""
    wanted = Process.parse(json.loads(json.dumps(_SAMPLE["process"])))
    program = seccomp_profile.default_program(frozenset(DEFAULT_CAPABILITIES))
    passwd = users.parse_passwd("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n")
    identity = users.resolve(wanted.user, passwd, users.parse_group("root:x:0:\nusers:x:100:nobody\n"))
    variables = become.environment(wanted, identity)
    become.find_program(wanted.args, variables, "/")
    status = files.read_small("/proc/self/status")
    listed = become.restriction(wanted, identity, program, status, True)
    calls.Launch([*listed, become.execution("/bin/true", wanted, variables)])
    _talk()


def _talk() -> None:
    ours, theirs = wire.pair()
    with ours, theirs:
        wire.send(ours, {"rehearsal": True}, [ours.fileno()])
        message = wire.receive(theirs)
        if message:
            message.close()
