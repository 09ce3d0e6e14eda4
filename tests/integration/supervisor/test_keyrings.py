"""Keys of the kernel: a container has none of those that the daemon's session holds."""

from __future__ import annotations

import ctypes
import os
import subprocess
from pathlib import Path

import pytest
from tests.rig.bundles import Machine, read_all, run_exec, unframe

from corten.supervisor.service import Supervisor

pytestmark = pytest.mark.root
PYTHON = "/usr/bin/python3"
ADD_KEY, KEYCTL = {"x86_64": (248, 250), "aarch64": (217, 219)}.get(os.uname().machine, (0, 0))
JOIN, READ, SESSION = 1, 11, -3
USR = [
    {"destination": place, "type": "bind", "source": place, "options": ["rbind", "ro"]}
    for place in ("/usr", "/lib", "/lib64")
    if Path(place).exists()
]


@pytest.fixture
def reading() -> list[str]:
    """A program that says how many bytes of a key it can read that the session has in which it was started."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not KEYCTL or not Path(PYTHON).exists() or libc.syscall(KEYCTL, JOIN, None) < 0:
        pytest.skip(f"needs keyrings and {PYTHON}")
    key = libc.syscall(ADD_KEY, b"user", b"corten-test", b"secret", 6, SESSION)
    return [PYTHON, "-ISc", f"import ctypes; print(ctypes.CDLL(None).syscall({KEYCTL}, {READ}, {key}, None, 0))"]


def test_a_container_has_no_keys_of_the_daemons_session(machine: Machine, reading: list[str]) -> None:
    assert subprocess.run(reading, check=True, capture_output=True).stdout == b"6\n"

    async def work(supervisor: Supervisor) -> None:
        bundle = machine.bundle(
            ["sh", "-c", f"{PYTHON} {reading[1]} '{reading[2]}'; sleep 100"],
            mounts=USR,
            annotations={"corten.seccomp": "unconfined"},
        )
        task = await supervisor.create(bundle)
        stream = await task.attach(stdin=False, stdout=True, stderr=True)
        await task.start()
        done = await run_exec(task, reading)
        assert (done.out, done.err) == (b"-1\n", b"")
        await task.signal(9)
        await task.wait()
        assert unframe(await read_all(stream)) == {1: b"-1\n", 2: b""}
        stream.close()
        await task.delete()

    machine.run(work)
