"""Containers that runc or crun makes, beneath the engine: also run under cgroup v2, in a virtual machine."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from corten.runtime.cgroup import Hierarchies
from corten.supervisor.model import StartFailure
from corten.supervisor.service import Supervisor
from rig.bundles import Machine, run_exec

HIERARCHIES = Hierarchies.discover()


@pytest.fixture(params=["runc", "crun"])
def options(request: pytest.FixtureRequest, machine: Machine) -> Iterator[dict[str, Any]]:
    """Shim options that name an external runtime; afterwards it knows of no container."""
    path = shutil.which(request.param)
    if path is None:
        pytest.skip(f"{request.param} is not installed: scripts/install-packages")
    if request.param == "crun" and HIERARCHIES.version == 1 and HIERARCHIES.unified:
        pytest.skip("crun does not run where both versions of control groups are mounted")
    root = machine.root / "exec/runtimes" / request.param
    yield {"runtime": {"name": request.param, "path": path, "root": str(root)}}
    for _ in range(200):
        if not root.exists() or not list(root.iterdir()):
            return
        time.sleep(0.02)
    raise AssertionError(f"{request.param} still knows of {os.listdir(root)}")


def test_streams_and_exit_code(machine: Machine, options: dict[str, Any]) -> None:
    found = machine.outcome(["sh", "-c", "cat; echo err >&2; exit 7"], data=b"in\n", options=options)
    assert (found.out, found.err, found.status) == (b"in\n", b"err\n", 7)


def test_the_spec_in_full(machine: Machine, options: dict[str, Any]) -> None:
    script = (
        "id; echo $HOME; hostname; grep -E 'CapEff|Seccomp:' /proc/self/status; head -c1 /proc/keys; "
        "mount -t tmpfs x /tmp; ls /sys/fs/cgroup >/dev/null && cat /proc/self/cgroup | grep -vc :/$"
    )
    found = machine.outcome(["sh", "-c", script], user="www", options=options)
    assert found.out.decode().splitlines() == [
        "uid=33(www) gid=33(www) groups=33(www),44(extra)",
        "/var/www",
        "c1",
        "CapEff:\t0000000000000000",
        "Seccomp:\t2",
        "0",
    ]
    assert b"mount" in found.err


def test_a_terminal(machine: Machine, options: dict[str, Any]) -> None:
    found = machine.outcome(
        ["sh", "-c", "tty; stty size"], tty=True, data=b"", options=options | {"height": 33, "width": 77}
    )
    assert found.out == b"/dev/pts/0\r\n33 77\r\n"


@pytest.mark.parametrize(("program", "code"), [("no-such", 127), ("/etc/passwd", 126)])
def test_what_cannot_be_executed(machine: Machine, options: dict[str, Any], program: str, code: int) -> None:
    with pytest.raises(StartFailure) as failure:
        machine.outcome([program], options=options)
    assert failure.value.exit_code == code
    assert "OCI runtime create failed: " in failure.value.message


def test_execs(machine: Machine, options: dict[str, Any]) -> None:
    async def work(supervisor: Supervisor) -> None:
        task = await supervisor.create(machine.bundle(["sleep", "60"], options=options))
        await task.start()
        first = await run_exec(task, ["sh", "-c", "cat; id -u; exit 9"], data=b"given\n", user={"username": "www"})
        assert (first.out, first.status) == (b"given\n33\n", 9)
        assert (await run_exec(task, ["tty"], tty=True)).out == b"/dev/pts/0\r\n"
        with pytest.raises(StartFailure, match="OCI runtime exec failed: ") as failure:
            await task.exec("bad", {"args": ["no-such"], "env": ["PATH=/bin"]}, tty=False, stdin=False)
        assert failure.value.exit_code == 127
        # However short they live, and however many end at a time: no status is lost.
        ended = await asyncio.gather(*(run_exec(task, ["sh", "-c", f"exit {code}"]) for code in range(1, 9)))
        assert [each.status for each in ended] == list(range(1, 9))
        await task.signal(signal.SIGKILL)
        assert (await task.wait()).status == 137

    machine.run(work)


def test_groups_are_ours_to_read(machine: Machine, options: dict[str, Any]) -> None:
    async def work(supervisor: Supervisor) -> None:
        resources = {"memory": {"limit": 48 << 20}, "pids": {"limit": 55}}
        bundle = machine.bundle(["sleep", "60"], options=options, linux={"resources": resources})
        task = await supervisor.create(bundle)
        await task.start()
        stats = await task.stats()
        assert stats["memory"]["limit"] == 48 << 20 and stats["pids"]["limit"] == 55
        assert await task.pids() == [task.pid]
        await task.update({"memory": {"limit": 64 << 20}})
        assert (await task.stats())["memory"]["limit"] == 64 << 20
        await task.pause()
        await task.resume()
        await task.signal(signal.SIGTERM)
        await task.signal(signal.SIGKILL)
        await task.wait()

    machine.run(work)


def test_running_out_of_memory(machine: Machine, options: dict[str, Any]) -> None:
    resources = {"memory": {"limit": 16 << 20, "swap": 16 << 20}}
    found = machine.outcome(["sh", "-c", "exec tail /dev/zero"], options=options, linux={"resources": resources})
    assert found.status == 137 and found.record.oom_killed


def test_devices_are_confined(machine: Machine, options: dict[str, Any]) -> None:
    script = "head -c1 /dev/zero | wc -c; mknod /d c 1 1; head -c1 /d"
    found = machine.outcome(["sh", "-c", script], options=options)
    assert found.out == b"1\n" and b"Operation not permitted" in found.err


def test_a_signal_goes_through_the_runtime(machine: Machine, options: dict[str, Any]) -> None:
    async def work(supervisor: Supervisor) -> int:
        script = "trap 'exit 4' TERM; while :; do sleep 0.05; done"
        task = await supervisor.create(machine.bundle(["sh", "-c", script], options=options))
        await task.start()
        while not await task.pids() or (await run_exec(task, ["sh", "-c", "grep SigCgt /proc/1/status"])).out.endswith(
            b"0000\n"
        ):
            await asyncio.sleep(0.01)
        await task.signal(signal.SIGTERM)
        return (await task.wait()).status

    assert machine.run(work) == 4


def test_one_that_is_never_started(machine: Machine, options: dict[str, Any]) -> None:
    async def work(supervisor: Supervisor) -> None:
        task = await supervisor.create(machine.bundle(["true"], options=options))
        assert task.status == "created"
        await task.delete()

    machine.run(work)


def test_a_subpath_is_not_the_runtimes_to_resolve(machine: Machine, options: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "volume/etc").mkdir(parents=True)
    (tmp_path / "volume/etc/file").write_text("the volume's")
    os.symlink("../../../../../../../../etc", tmp_path / "volume/link")
    bind = {"type": "bind", "source": f"{tmp_path}/volume", "options": ["rbind", "rprivate"]}
    shown = machine.outcome(
        ["sh", "-c", "ls /data; cat /data/file"],
        mounts=[{"destination": "/data", "subpath": "link", **bind}],
        options=options,
    )
    assert shown.out == b"file\nthe volume's"


def test_a_killed_shim(machine: Machine, options: dict[str, Any]) -> None:
    async def work(supervisor: Supervisor) -> None:
        bundle = machine.bundle(["sleep", "60"], options=options)
        task = await supervisor.create(bundle)
        await task.start()
        shim = int(Path(f"/proc/{task.pid}/stat").read_text().rpartition(")")[2].split()[1])
        os.kill(shim, signal.SIGKILL)
        record = await task.wait()
        assert (record.status, record.error) == (137, "the container's shim was killed")
        # The next life finds nothing of the former.
        task = await supervisor.create(bundle)
        await task.start()
        await task.signal(signal.SIGKILL)
        await task.wait()

    machine.run(work)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo 'first'; echo 'the last words' >&2; exit 1", "OCI runtime create failed: the last words"),
        ("exit 3", "OCI runtime create failed: runtime ended with status 3"),
    ],
)
def test_a_runtime_that_fails(machine: Machine, script: str, words: str) -> None:
    path = machine.root / "runtime"
    path.write_text(f"#!{shutil.which('sh')}\n{script}\n")
    path.chmod(0o755)
    runtime = {"name": "own", "path": str(path), "root": f"{machine.root}/exec/runtimes/own"}
    with pytest.raises(StartFailure, match=words):
        machine.outcome(["true"], tty=True, data=b"", options={"runtime": runtime})
