"""Further processes in a running container."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from corten.errors import NotFound
from corten.supervisor.model import StartFailure
from corten.supervisor.service import Supervisor, Task
from rig.bundles import Machine, exec_process, read_all, run_attached, run_exec, unframe

pytestmark = pytest.mark.root


async def sleeper(supervisor: Supervisor, machine: Machine) -> Task:
    task = await supervisor.create(machine.bundle(["sleep", "1000"]))
    await task.start()
    return task


async def end(task: Task) -> None:
    await task.signal(signal.SIGKILL)
    await task.wait()
    await task.delete()


def test_exec_runs_inside(machine: Machine) -> None:
    async def work(supervisor: Supervisor) -> None:
        task = await sleeper(supervisor, machine)
        outcome = await run_exec(task, ["sh", "-c", "hostname; ps | grep -c 'sleep 100[0]'; echo e >&2; exit 4"])
        assert (outcome.status, outcome.out, outcome.err) == (4, b"c1\n1\n", b"e\n")
        inside = await run_exec(task, ["cat", "/proc/self/cgroup"])
        assert b"corten" not in inside.out, "the control groups' namespace was not joined"
        caps = await run_exec(task, ["grep", "-E", "^(CapBnd|Seccomp):", "/proc/self/status"])
        assert b"CapBnd:\t00000000a80425fb" in caps.out
        assert b"Seccomp:\t2" in caps.out
        data = os.urandom(1 << 20)
        assert (await run_exec(task, ["cat"], data=data)).out == data
        who = await run_exec(task, ["id"], user={"username": "www"})
        assert who.out == b"uid=33(www) gid=33(www) groups=33(www),44(extra)\n"
        await end(task)

    machine.run(work)


def test_exec_with_a_terminal(machine: Machine) -> None:
    async def work(supervisor: Supervisor) -> None:
        task = await sleeper(supervisor, machine)
        size = {"consoleSize": {"height": 30, "width": 90}}
        outcome = await run_exec(task, ["sh", "-c", "tty; stty size"], tty=True, **size)
        assert outcome.out == b"/dev/pts/0\r\n30 90\r\n"
        await end(task)

    machine.run(work)


def test_exec_failures(machine: Machine) -> None:
    async def work(supervisor: Supervisor) -> None:
        task = await sleeper(supervisor, machine)
        with pytest.raises(StartFailure) as caught:
            await run_exec(task, ["nosuch"])
        assert caught.value.exit_code == 127
        assert caught.value.message == (
            "OCI runtime exec failed: exec failed: unable to start container process: "
            'exec: "nosuch": executable file not found in $PATH: unknown'
        )
        with pytest.raises(StartFailure) as caught:
            await run_exec(task, ["/etc/passwd"])
        assert caught.value.exit_code == 126
        with pytest.raises(NotFound):
            await task.wait("never")
        await end(task)

    machine.run(work)


def test_exec_signal_and_container_end(machine: Machine) -> None:
    async def work(supervisor: Supervisor) -> None:
        task = await sleeper(supervisor, machine)
        await task.exec("one", {"args": ["sleep", "1000"], "env": ["PATH=/bin"]}, tty=False, stdin=False)
        pid = await task.exec("two", {"args": ["sleep", "1000"], "env": ["PATH=/bin"]}, tty=False, stdin=False)
        assert pid in await task.pids()
        await task.signal(signal.SIGTERM, exec_id="one")
        assert (await task.wait("one")).status == 143
        waiting = asyncio.ensure_future(task.wait("two"))
        await end(task)
        assert (await asyncio.wait_for(waiting, 5)).status == 137

    machine.run(work)


def test_a_background_process_does_not_hold_the_exec(machine: Machine) -> None:
    async def work(supervisor: Supervisor) -> None:
        task = await sleeper(supervisor, machine)
        stream = await task.attach(exec_id="bg", stdin=False, stdout=True, stderr=True)
        body = {"args": ["sh", "-c", "echo now; sleep 1000 &"], "env": ["PATH=/bin"]}
        await task.exec("bg", body, tty=False, stdin=False)
        output = await asyncio.wait_for(read_all(stream), 10)
        assert unframe(output)[1] == b"now\n"
        assert (await task.wait("bg")).status == 0
        await end(task)

    machine.run(work)


def test_many_execs_at_once(machine: Machine) -> None:
    async def work(supervisor: Supervisor) -> None:
        task = await sleeper(supervisor, machine)
        outcomes = await asyncio.gather(*(run_exec(task, ["sh", "-c", f"echo {n}; exit {n}"]) for n in range(20)))
        assert [(each.status, each.out) for each in outcomes] == [(n, b"%d\n" % n) for n in range(20)]
        shim = next(int(pid) for pid in os.listdir("/proc") if pid.isdigit() and is_shim_of(pid, task.id))
        await asyncio.sleep(0.1)
        # init's four, the lock, the listener, the epoll, the signal pipe, the log, the daemon, stdio: no more with time
        assert len(os.listdir(f"/proc/{shim}/fd")) < 25
        await end(task)

    machine.run(work)


def is_shim_of(pid: str, container: str) -> bool:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as stream:
            return stream.read().startswith(b"corten-shim " + container.encode() + b"\0")
    except OSError:
        return False


def inside(task: Task) -> set[int]:
    """The processes that the container sees."""
    return {int(each) for each in os.listdir(f"/proc/{task.pid}/root/proc") if each.isdigit()}


def siblings(task: Task) -> set[int]:
    """What else the container's shim has for children."""
    parent = int(Path(f"/proc/{task.pid}/stat").read_text().rpartition(")")[2].split()[1])
    text = Path(f"/proc/{parent}/task/{parent}/children").read_text()
    return {int(each) for each in text.split()} - {task.pid}


def announce(task: Task, exec_id: str, args: list[str], *, tty: bool = False) -> None:
    task.announce_exec(exec_id, exec_process(args), tty=tty, stdin=False)


def test_an_announced_exec(machine: Machine) -> None:
    async def work(supervisor: Supervisor) -> None:
        task = await sleeper(supervisor, machine)
        args = ["sh", "-c", "echo $((1+1)); ps | wc -l"]
        announce(task, "soon", args)
        await asyncio.sleep(0.2)
        assert siblings(task)
        assert inside(task) == {1}, "what prepares for an exec is seen inside"
        outcome = await run_attached(task, "soon", args)
        assert (outcome.status, outcome.out) == (0, b"2\n5\n"), "title, sleep, sh, ps, wc"
        announce(task, "other", ["echo", "wrong"])
        assert (await run_attached(task, "other", ["echo", "right"])).out == b"right\n"
        announce(task, "missing", ["nosuch"])
        with pytest.raises(StartFailure, match="executable file not found"):
            await run_attached(task, "missing", ["nosuch"])
        announce(task, "never", args, tty=True)
        await asyncio.sleep(0.1)
        await end(task)

    machine.run(work)


def test_what_is_announced_and_never_comes_is_forgotten(machine: Machine) -> None:
    async def work(supervisor: Supervisor) -> None:
        task = await sleeper(supervisor, machine)
        for number in range(20):
            announce(task, f"e{number}", ["true"])
        async with asyncio.timeout(10):
            while not siblings(task):
                await asyncio.sleep(0.05)
            assert len(siblings(task)) < 20
            while siblings(task):
                await asyncio.sleep(0.05)
        assert (await run_attached(task, "e0", ["echo", "late"])).out == b"late\n"
        await end(task)

    machine.run(work)


def test_whoever_prepares_an_exec_may_be_killed(machine: Machine) -> None:
    async def work(supervisor: Supervisor) -> None:
        task = await sleeper(supervisor, machine)
        for number in range(2):
            announce(task, f"e{number}", ["echo", "here"])
            async with asyncio.timeout(10):
                while not (waiting := siblings(task)):
                    await asyncio.sleep(0.05)
                for pid in waiting:
                    os.kill(pid, signal.SIGKILL)
                while siblings(task):
                    await asyncio.sleep(0.05)
            assert (await run_attached(task, f"e{number}", ["echo", "here"])).out == b"here\n"
        await end(task)

    machine.run(work)
