"""Containers from bundle to exit record: streams, statuses, identity, isolation, limits."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from corten.errors import Conflict
from corten.kernel.paths import Root
from corten.supervisor.model import StartFailure
from corten.supervisor.service import Supervisor
from rig.bundles import Machine, feed, read_all, run_exec, unframe

pytestmark = pytest.mark.root


def test_streams_and_status(machine: Machine) -> None:
    outcome = machine.outcome(["sh", "-c", "echo out; echo err >&2; exit 7"])
    assert (outcome.status, outcome.out, outcome.err) == (7, b"out\n", b"err\n")
    log = (machine.root / "containers/c1/log").read_text()
    assert '{"log":"out\\n","stream":"stdout","time":"' in log
    assert '{"log":"err\\n","stream":"stderr","time":"' in log
    assert (machine.root / "containers/c1/exit.json").exists()


def test_stdin_comes_back_whole(machine: Machine) -> None:
    data = os.urandom(4 << 20)
    outcome = machine.outcome(["cat"], data=data)
    assert hashlib.sha256(outcome.out).digest() == hashlib.sha256(data).digest()


def test_death_by_signal(machine: Machine) -> None:
    outcome = machine.outcome(["sh", "-c", "sh -c 'kill -TERM $$'; exit $?"])
    assert outcome.status == 128 + signal.SIGTERM

    async def work(supervisor: Supervisor) -> Any:
        task = await supervisor.create(machine.bundle(["sleep", "100"]))
        await task.start()
        await task.signal(signal.SIGKILL)
        record = await task.wait()
        with pytest.raises(Conflict):
            await task.signal(signal.SIGTERM)
        await task.delete()
        return record

    record = machine.run(work)
    assert (record.status, record.signal, record.oom_killed) == (137, 9, False)


def test_no_signal_is_ignored_that_the_daemon_was_born_ignoring(machine: Machine) -> None:
    ignored = (signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1)
    old = [signal.signal(signum, signal.SIG_IGN) for signum in ignored]
    try:
        outcome = machine.outcome(["grep", "SigIgn", "/proc/self/status"])
    finally:
        for signum, handler in zip(ignored, old, strict=True):
            signal.signal(signum, handler)
    found = int(outcome.out.split()[1], 16)
    assert [
        signum for signum in signal.valid_signals() if found >> (signum - 1) & 1
    ] == []  # 32 and 33 are the C library's


@pytest.mark.parametrize(
    ("args", "number", "exit_code", "words"),
    [
        (["nosuch"], errno.ENOENT, 127, 'exec: "nosuch": executable file not found in $PATH'),
        (["/nosuch"], errno.ENOENT, 127, 'exec: "/nosuch": stat /nosuch: no such file or directory'),
        (["/etc/passwd"], errno.EACCES, 126, 'exec: "/etc/passwd": permission denied'),
        (["/etc"], errno.EISDIR, 126, 'exec: "/etc": is a directory'),
        (["/garbage"], errno.ENOEXEC, 126, 'exec: "/garbage": exec format error'),
    ],
)
def test_what_cannot_be_executed(machine: Machine, args: list[str], number: int, exit_code: int, words: str) -> None:
    (machine.base / "garbage").write_text("garbage")
    (machine.base / "garbage").chmod(0o755)
    with pytest.raises(StartFailure) as caught:
        machine.outcome(args)
    assert (caught.value.errno, caught.value.exit_code) == (number, exit_code)
    assert words in caught.value.message


def test_unknown_user(machine: Machine) -> None:
    with pytest.raises(StartFailure) as caught:
        machine.outcome(["true"], user="nobody-here")
    assert caught.value.message == "unable to find user nobody-here: no matching entries in passwd file"


def test_identity_and_confinement(machine: Machine) -> None:
    script = "id; echo $HOME; pwd; ulimit -n; grep -E '^(CapEff|CapBnd|Seccomp|NoNewPrivs):' /proc/self/status"
    outcome = machine.outcome(
        ["sh", "-c", script],
        user="www",
        process={
            "cwd": "/made/on/the/way",
            "noNewPrivileges": True,
            "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}],
        },
    )
    lines = outcome.out.decode().split("\n")
    assert lines[:4] == ["uid=33(www) gid=33(www) groups=33(www),44(extra)", "/var/www", "/made/on/the/way", "100"]
    assert "CapEff:\t0000000000000000" in lines
    assert "CapBnd:\t00000000a80425fb" in lines
    assert "NoNewPrivs:\t1" in lines
    assert "Seccomp:\t2" in lines


def test_what_a_container_may_not_do(machine: Machine) -> None:
    script = """
        unshare -m true && echo BAD unshare
        mount -t tmpfs x /tmp && echo BAD mount
        mknod /tmp/disk b 8 0 && cat /tmp/disk && echo BAD device
        echo x > /proc/sys/kernel/hostname && echo BAD sysctl
        echo x > /proc/sysrq-trigger && echo BAD sysrq
        ls /sys/firmware | grep . && echo BAD firmware
        mkdir /sys/fs/cgroup/x && echo BAD cgroup
        grep . /proc/keys && echo BAD keys
        [ "$(ls /proc/self/fd | wc -l)" -le 4 ] || echo BAD descriptors
        ps | grep -v -e ps -e sh -e PID -e grep && echo BAD processes
        true
    """
    outcome = machine.outcome(["sh", "-c", script])
    assert b"BAD" not in outcome.out, outcome.out


def test_hostile_links_stay_inside(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "source").write_text("mine")
    os.symlink("../../../../../.." + str(tmp_path), machine.base / "evil")
    outcome = machine.outcome(
        ["cat", "/evil/x"],
        mounts=[{"destination": "/evil/x", "type": "bind", "source": f"{tmp_path}/source", "options": ["bind", "ro"]}],
    )
    assert outcome.out == b"mine"
    assert not (tmp_path / "x").exists()


def test_bind_mounts(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("host")
    (tmp_path / "dir").mkdir()
    outcome = machine.outcome(
        ["sh", "-c", "cat /new/place; echo x > /new/place || echo readonly; echo back > /data/back; mount | grep data"],
        mounts=[
            {"destination": "/new/place", "type": "bind", "source": f"{tmp_path}/file", "options": ["rbind", "rro"]},
            {"destination": "/data", "type": "bind", "source": f"{tmp_path}/dir", "options": ["rbind", "rprivate"]},
            {"destination": "/scratch", "type": "tmpfs", "source": "tmpfs", "options": ["size=1m", "mode=700"]},
        ],
    )
    assert outcome.out.startswith(b"hostreadonly\n")
    assert (tmp_path / "dir/back").read_text() == "back\n"


def test_a_subpath_is_looked_up_beneath_its_source(machine: Machine, tmp_path: Path) -> None:
    """Its links are whoever's that writes to the volume, and may have changed since the engine looked."""
    (tmp_path / "volume/etc").mkdir(parents=True)
    (tmp_path / "volume/etc/file").write_text("the volume's")
    os.symlink("../../../../../../../../etc", tmp_path / "volume/link")
    os.symlink("/etc/file", tmp_path / "volume/etc/one")
    bind = {"type": "bind", "source": f"{tmp_path}/volume", "options": ["rbind", "rprivate"]}
    outcome = machine.outcome(
        ["sh", "-c", "ls /data; cat /data/file /one"],
        mounts=[
            {"destination": "/data", "subpath": "link", **bind},
            {"destination": "/one", "subpath": "etc/one", **bind},
        ],
    )
    assert outcome.out == b"file\none\nthe volume'sthe volume's"


def test_readonly_root(machine: Machine) -> None:
    outcome = machine.outcome(
        ["sh", "-c", "touch /x || echo readonly; touch /dev/shm/x && echo writable"], root={"readonly": True}
    )
    assert outcome.out == b"readonly\nwritable\n"


def test_terminal(machine: Machine) -> None:
    script = "tty; stty size; echo a; test -c /dev/console && echo console"
    outcome = machine.outcome(["sh", "-c", script], tty=True, options={"height": 40, "width": 100})
    assert outcome.out == b"/dev/pts/0\r\n40 100\r\na\r\nconsole\r\n"


def test_terminal_resize_and_input(machine: Machine) -> None:
    async def work(supervisor: Supervisor) -> bytes:
        task = await supervisor.create(machine.bundle(["sh", "-c", "read x; stty size; echo $x"], tty=True, stdin=True))
        stream = await task.attach(stdin=True, stdout=True, stderr=True)
        await task.start()
        await task.resize(24, 132)
        await asyncio.get_running_loop().sock_sendall(stream, b"hello\n")
        output = await read_all(stream)
        assert (await task.wait()).status == 0
        await task.delete()
        return output

    assert machine.run(work) == b"hello\r\n24 132\r\nhello\r\n"


def test_small_init_reaps_and_forwards(machine: Machine) -> None:
    async def work(supervisor: Supervisor) -> tuple[bytes, int]:
        bundle = machine.bundle(
            ["sh", "-c", "trap 'exit 5' TERM; ps | grep -c init; echo ready; while :; do sleep 0.05; done"],
            annotations={"corten.init": "true"},
        )
        task = await supervisor.create(bundle)
        stream = await task.attach(stdin=False, stdout=True, stderr=True)
        await task.start()
        loop = asyncio.get_running_loop()
        seen = b""
        while b"ready" not in seen:
            seen += await loop.sock_recv(stream, 1000)
        await task.signal(signal.SIGTERM)
        record = await task.wait()
        await task.delete()
        stream.close()
        return seen, record.status

    seen, status = machine.run(work)
    assert status == 5
    assert b"ready" in seen


def test_memory_limit_and_oom(machine: Machine) -> None:
    outcome = machine.outcome(
        ["sh", "-c", "head -c 200000000 /dev/zero | tail >/dev/null"],
        linux={"resources": {"memory": {"limit": 16 << 20, "swap": 16 << 20}}},
    )
    assert outcome.record.oom_killed
    assert outcome.status == 137


def test_pids_limit(machine: Machine) -> None:
    outcome = machine.outcome(
        ["sh", "-c", "for i in 1 2 3 4 5 6 7 8; do sleep 0.1 & done; wait"], linux={"resources": {"pids": {"limit": 4}}}
    )
    assert b"can't fork" in outcome.err


def test_pause_stats_update(machine: Machine) -> None:
    async def work(supervisor: Supervisor) -> None:
        task = await supervisor.create(machine.bundle(["sh", "-c", "while :; do echo tick; sleep 0.01; done"]))
        stream = await task.attach(stdin=False, stdout=True, stderr=True)
        await task.start()
        loop = asyncio.get_running_loop()
        await loop.sock_recv(stream, 100)
        await task.pause()
        assert task.status == "paused"
        while True:
            try:
                await asyncio.wait_for(loop.sock_recv(stream, 10000), 0.2)
            except TimeoutError:
                break  # silence
        await task.resume()
        assert await asyncio.wait_for(loop.sock_recv(stream, 100), 5)
        await task.update({"memory": {"limit": 64 << 20, "swap": 64 << 20}, "pids": {"limit": 50}})
        stats = await task.stats()
        assert stats["memory"]["limit"] == 64 << 20
        assert stats["pids"]["limit"] == 50
        assert stats["cpu"]["usage"] > 0
        assert task.pid in await task.pids()
        await task.signal(signal.SIGKILL)
        await task.wait()
        await task.delete()
        stream.close()

    machine.run(work)


def test_several_clients_and_a_late_one(machine: Machine) -> None:
    async def work(supervisor: Supervisor) -> None:
        task = await supervisor.create(machine.bundle(["sh", "-c", "echo one; read x; echo two"], stdin=True))
        first = await task.attach(stdin=True, stdout=True, stderr=True)
        second = await task.attach(stdin=False, stdout=True, stderr=False)
        await task.start()
        loop = asyncio.get_running_loop()
        head = await loop.sock_recv(second, 100)
        late = await task.attach(stdin=False, stdout=True, stderr=True)
        await feed(first, b"go\n")
        rest, everything, tail = await asyncio.gather(read_all(second), read_all(first), read_all(late))
        assert unframe(head + rest)[1] == unframe(everything)[1] == b"one\ntwo\n"
        assert unframe(tail)[1] == b"two\n"
        await task.wait()
        await task.delete()

    machine.run(work)


def test_a_slow_client_loses_nothing(machine: Machine) -> None:
    async def work(supervisor: Supervisor) -> None:
        bundle = machine.bundle(["sh", "-c", "i=0; while [ $i -lt 60000 ]; do echo line $i; i=$((i+1)); done"])
        task = await supervisor.create(bundle)
        stream = await task.attach(stdin=False, stdout=True, stderr=True)
        await task.start()
        await asyncio.sleep(0.3)
        output = unframe(await read_all(stream))[1]
        assert output == b"".join(b"line %d\n" % i for i in range(60000))
        await task.wait()
        await task.delete()

    machine.run(work)


def test_a_container_that_is_never_started(machine: Machine) -> None:
    async def work(supervisor: Supervisor) -> None:
        bundle = machine.bundle(["true"])
        task = await supervisor.create(bundle)
        assert task.status == "created"
        await task.delete()
        assert not (bundle / "exit.json").exists()
        # The bundle's next life begins at once.
        task = await supervisor.create(bundle)
        await task.start()
        assert (await task.wait()).status == 0
        again = await supervisor.create(bundle)
        await again.start()
        assert (await again.wait()).status == 0
        await task.delete()
        await again.delete()

    machine.run(work)


def test_network_namespace_is_handed_back(machine: Machine) -> None:
    async def work(supervisor: Supervisor) -> None:
        task = await supervisor.create(machine.bundle(["sh", "-c", "cat /proc/net/dev | grep -c :"]))
        fd = task.netns_fd()
        assert os.fstat(fd).st_ino == os.stat(f"/proc/{task.pid}/ns/net").st_ino
        os.close(fd)
        (await task.netlink()).close()
        resolver = await task.socket(2, 2, bind=("127.0.0.11", 53))
        assert resolver.getsockname() == ("127.0.0.11", 53)
        resolver.close()
        stream = await task.attach(stdin=False, stdout=True, stderr=True)
        await task.start()
        assert unframe(await read_all(stream))[1] == b"1\n"
        await task.wait()
        await task.delete()

    machine.run(work)


def test_joining_another_containers_namespaces(machine: Machine) -> None:
    async def work(supervisor: Supervisor) -> None:
        first = await supervisor.create(machine.bundle(["sleep", "100"]))
        await first.start()
        joined = [{"type": kind, "path": f"/proc/{first.pid}/ns/{name}"} for kind, name in
                  (("network", "net"), ("ipc", "ipc"), ("pid", "pid"))]  # fmt: skip
        script = "ps | grep -c 'sleep 10[0]'; readlink /proc/self/ns/net; readlink /proc/self/ns/ipc"
        bundle = machine.bundle(["sh", "-c", script], namespaces=[*joined, {"type": "mount"}, {"type": "uts"}])
        second = await supervisor.create(bundle)
        stream = await second.attach(stdin=False, stdout=True, stderr=True)
        await second.start()
        lines = unframe(await read_all(stream))[1].decode().split()
        assert lines == ["1", *(os.readlink(f"/proc/{first.pid}/ns/{name}") for name in ("net", "ipc"))]
        assert (await second.wait()).status == 0
        await first.signal(signal.SIGKILL)
        await first.wait()
        await first.delete()
        await second.delete()

    machine.run(work)


def test_host_pid_namespace_leaves_no_orphans(machine: Machine) -> None:
    kinds = ("network", "ipc", "uts", "mount", "cgroup")
    outcome = machine.outcome(["sh", "-c", "sleep 1000 & exit 3"], namespaces=[{"type": kind} for kind in kinds])
    assert outcome.status == 3


def test_files_of_a_running_container(machine: Machine) -> None:
    async def work(supervisor: Supervisor) -> None:
        task = await supervisor.create(machine.bundle(["sh", "-c", "echo kept > /kept; sleep 100"]))
        await task.start()
        with Root(task.root_fd()) as root:
            for _ in range(200):
                if root.exists("/kept") and root.read_bytes("/kept"):
                    break
                await asyncio.sleep(0.01)
            assert root.read_bytes("/kept") == b"kept\n"
        await task.signal(signal.SIGKILL)
        await task.wait()
        await task.delete()

    machine.run(work)


QUIET = {"expect_client": False}


def test_a_shim_that_sleeps_wakes_up(machine: Machine) -> None:
    async def work(supervisor: Supervisor) -> None:
        (machine.base / "garbage").write_text("garbage")
        (machine.base / "garbage").chmod(0o755)
        quick = await supervisor.create(machine.bundle(["sh", "-c", "echo one; echo two; exit 4"], options=QUIET))
        await quick.start()
        assert (await quick.wait()).status == 4
        assert (quick.bundle / "log").read_text().count("\n") == 2
        failing = await supervisor.create(machine.bundle(["/garbage"], options=QUIET))
        with pytest.raises(StartFailure) as caught:
            await failing.start()
        assert caught.value.exit_code == 126
        never = await supervisor.create(machine.bundle(["true"], options=QUIET))
        late = await supervisor.create(machine.bundle(["sh", "-c", "read x; echo $x"], stdin=True, options=QUIET))
        first = await late.attach(stdin=True, stdout=True, stderr=True)  # before start, though nobody expected it
        await late.start()
        await feed(first, b"hello\n")
        assert unframe(await read_all(first))[1] == b"hello\n"
        long = await supervisor.create(machine.bundle(["sleep", "1000"], options=QUIET))
        await long.start()
        await asyncio.sleep(0.1)
        assert (await run_exec(long, ["echo", "in"])).out == b"in\n"
        await long.signal(signal.SIGKILL)
        assert (await long.wait()).status == 137
        for task in (quick, failing, never, late, long):
            await task.delete()

    machine.run(work)


def test_oom_kills_are_told_while_the_container_runs(machine: Machine) -> None:
    async def work(supervisor: Supervisor) -> None:
        script = "head -c 200000000 /dev/zero | tail >/dev/null; sleep 1000"
        limits = {"resources": {"memory": {"limit": 16 << 20, "swap": 16 << 20}}}
        task = await supervisor.create(machine.bundle(["sh", "-c", script], linux=limits, options=QUIET))
        told = asyncio.Event()
        task.on_oom = told.set
        await task.start()
        await asyncio.wait_for(told.wait(), 20)
        await task.signal(signal.SIGKILL)
        assert (await task.wait()).oom_killed
        await task.delete()

    machine.run(work)
