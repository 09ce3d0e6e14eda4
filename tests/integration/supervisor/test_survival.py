"""Any of the processes may be killed at any time: no container is lost, no exit status is lost, nothing is leaked."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from corten.supervisor.model import ExitRecord
from corten.supervisor.service import Supervisor, Task
from rig.bundles import Machine, read_all, run_exec, unframe

pytestmark = pytest.mark.root

# A daemon of a few lines, to be killed: creates and starts what it is told, says so, sleeps.
DAEMON = """
import asyncio, sys
from pathlib import Path
from corten.supervisor.service import Supervisor

async def main():
    supervisor = Supervisor(Path(sys.argv[1]), cgroup_parent=sys.argv[2])
    await supervisor.open()
    for path in sys.argv[4:]:
        task = await supervisor.create(Path(path))
        if sys.argv[3] == "start":
            await task.start()
    print("ready", supervisor.zygote_pid, flush=True)
    await asyncio.sleep(1000)

asyncio.run(main())
"""


class Daemon:
    """That program, running."""

    def __init__(self, machine: Machine, verb: str, bundles: list[Path]) -> None:
        arguments = [str(machine.root / "exec"), machine.group, verb, *map(str, bundles)]
        source = str(Path(__file__).parents[3] / "src")
        self.process = subprocess.Popen(
            [sys.executable, "-c", DAEMON, *arguments],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": source},
        )
        assert self.process.stdout is not None
        self.zygote_pid = int(self.process.stdout.readline().split()[1])

    def kill(self, *, zygote: bool = False) -> None:
        if zygote:
            os.kill(self.zygote_pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.mark.parametrize("zygote", [False, True])
def test_containers_survive_the_daemon(machine: Machine, zygote: bool) -> None:
    script = "i=0; while [ ! -e /stop ]; do echo $i; i=$((i+1)); sleep 0.02; done; exit 9"
    living, ended = machine.bundle(["sh", "-c", script]), machine.bundle(["sh", "-c", "sleep 0.2; exit 6"])
    never = machine.bundle(["true"])
    Daemon(machine, "start", [living, ended]).kill(zygote=zygote)
    time.sleep(0.5)

    async def work(supervisor: Supervisor) -> None:
        record = await supervisor.recover(ended)
        assert isinstance(record, ExitRecord)
        assert record.status == 6
        assert await supervisor.recover(never) is None
        task = await supervisor.recover(living)
        assert isinstance(task, Task)
        assert (task.status, task.pid > 0, task.started_at is not None) == ("running", True, True)
        # The container ends as soon as the file is there, and may take touch along before that has ended by itself.
        assert (await run_exec(task, ["touch", "/stop"])).status in (0, 137)
        assert (await task.wait()).status == 9
        await task.delete()
        numbers = [int(json.loads(line)["log"]) for line in (living / "log").read_text().splitlines()]
        assert numbers == list(range(len(numbers)))
        assert len(numbers) > 10

    machine.run(work)


def test_a_container_that_nobody_starts_goes_with_its_daemon(machine: Machine) -> None:
    bundle = machine.bundle(["true"])
    Daemon(machine, "create", [bundle]).kill()

    async def work(supervisor: Supervisor) -> None:
        for _ in range(100):
            if not (bundle / "state.json").exists():
                break
            await asyncio.sleep(0.02)
        assert await supervisor.recover(bundle) is None

    machine.run(work)


def test_a_running_exec_is_found_again(machine: Machine) -> None:
    async def first(supervisor: Supervisor) -> Path:
        bundle = machine.bundle(["sleep", "1000"])
        task = await supervisor.create(bundle)
        await task.start()
        body = {"args": ["sh", "-c", "sleep 0.3; exit 8"], "env": ["PATH=/bin"]}
        await task.exec("long", body, tty=False, stdin=False)
        await task.exec("short", {"args": ["false"], "env": ["PATH=/bin"]}, tty=False, stdin=False)
        await task.wait("short")
        return bundle

    async def second(supervisor: Supervisor) -> None:
        task = await supervisor.recover(bundle)
        assert isinstance(task, Task)
        assert set(task.execs) == {"long", "short"}
        assert (await task.wait("short")).status == 1
        assert (await task.wait("long")).status == 8
        await task.signal(signal.SIGKILL)
        await task.wait()
        await task.delete()

    bundle = machine.run(first)
    machine.run(second)


def test_the_zygote_is_started_again(machine: Machine) -> None:
    async def work(supervisor: Supervisor) -> None:
        running = await supervisor.create(machine.bundle(["sh", "-c", "read x; exit 2"], stdin=True))
        await running.start()
        os.kill(supervisor.zygote_pid, signal.SIGKILL)
        task = await supervisor.create(machine.bundle(["sh", "-c", "exit 3"]))
        await task.start()
        assert (await task.wait()).status == 3
        await task.delete()
        stream = await running.attach(stdin=True, stdout=True, stderr=True)
        await asyncio.get_running_loop().sock_sendall(stream, b"\n")
        assert (await running.wait()).status == 2
        await running.delete()
        stream.close()

    machine.run(work)


def test_a_killed_shim_takes_its_container_along_and_is_told(machine: Machine) -> None:
    async def work(supervisor: Supervisor) -> None:
        bundle = machine.bundle(["sleep", "1000"])
        task = await supervisor.create(bundle)
        await task.start()
        os.kill(json.loads((bundle / "state.json").read_text())["shim_pid"], signal.SIGKILL)
        record = await asyncio.wait_for(task.wait(), 10)
        assert (record.status, record.error) == (137, "the container's shim was killed")
        assert (await supervisor.recover(bundle)) == record
        await task.delete()

    machine.run(work)


def test_a_shim_killed_while_no_daemon_looks(machine: Machine) -> None:
    bundle = machine.bundle(["sleep", "1000"])
    daemon = Daemon(machine, "start", [bundle])
    daemon.kill()
    os.kill(json.loads((bundle / "state.json").read_text())["shim_pid"], signal.SIGKILL)

    async def work(supervisor: Supervisor) -> None:
        record = await supervisor.recover(bundle)
        assert isinstance(record, ExitRecord)
        assert record.status == 137

    machine.run(work)


def test_nothing_is_leaked_by_fifty_containers(machine: Machine) -> None:
    async def work(supervisor: Supervisor) -> None:
        async def one(number: int) -> None:
            task = await supervisor.create(machine.bundle(["sh", "-c", f"echo {number}"]))
            stream = await task.attach(stdin=False, stdout=True, stderr=True)
            await task.start()
            assert unframe(await read_all(stream))[1] == b"%d\n" % number
            stream.close()
            await task.wait()
            await task.delete()

        await one(0)
        before = len(os.listdir("/proc/self/fd"))
        for round_number in range(10):
            await asyncio.gather(*(one(round_number * 5 + number) for number in range(5)))
        for _ in range(100):
            if len(os.listdir("/proc/self/fd")) <= before + 1:
                break
            await asyncio.sleep(0.05)  # after a burst the shims that wait for more are sent away
        assert len(os.listdir("/proc/self/fd")) <= before + 1

    machine.run(work)


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def run_short(supervisor: Supervisor, machine: Machine) -> int:
    """Run a container that ends at once; its shim's pid."""
    bundle = machine.bundle(["sh", "-c", "exit 3"])
    task = await supervisor.create(bundle)
    await task.start()
    assert (await task.wait()).status == 3
    await task.delete()
    await asyncio.sleep(0.05)
    return int(json.loads((bundle / "state.json").read_text())["shim_pid"])


def test_a_shim_whose_container_ends_at_once_gets_the_next_one_and_keeps_nothing(machine: Machine) -> None:
    async def work(supervisor: Supervisor) -> None:
        first = await run_short(supervisor, machine)
        held = sorted(os.readlink(each) for each in Path(f"/proc/{first}/fd").iterdir())
        for _ in range(5):
            assert await run_short(supervisor, machine) == first
        left = sorted(os.readlink(each) for each in Path(f"/proc/{first}/fd").iterdir())
        assert len(left) == len(held) == 4  # the usual three and its creator
        assert str(machine.root) not in Path(f"/proc/{first}/cmdline").read_text()

    machine.run(work)


@pytest.mark.parametrize("victim", ["shim", "creator"])
def test_a_waiting_shim_may_be_killed(machine: Machine, victim: str) -> None:
    async def work(supervisor: Supervisor) -> None:
        shim = await run_short(supervisor, machine)
        os.kill(shim if victim == "shim" else min(children(shim)), signal.SIGKILL)
        assert await run_short(supervisor, machine) != shim
        await asyncio.sleep(0.1)
        assert victim == "shim" or not Path(f"/proc/{shim}/fd/3").exists()

    machine.run(work)


def test_a_shim_that_keeps_its_container_lets_its_creator_go(machine: Machine) -> None:
    async def work(supervisor: Supervisor) -> None:
        bundle = machine.bundle(["sleep", "1000"])
        task = await supervisor.create(bundle)
        await task.start()
        shim = int(json.loads((bundle / "state.json").read_text())["shim_pid"])
        for _ in range(100):
            if children(shim) == [task.pid]:
                break
            await asyncio.sleep(0.05)
        assert children(shim) == [task.pid]
        await task.signal(signal.SIGKILL)
        assert (await task.wait()).status == 137
        await task.delete()

    machine.run(work)
