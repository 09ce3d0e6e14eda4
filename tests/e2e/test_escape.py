"""Known breakouts, tried from inside default containers: each fails, each by name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rig.daemon import Daemon


def inside(daemon: Daemon, script: str, *options: str) -> str:
    result = daemon.docker("run", "--rm", *options, "busybox", "sh", "-c", script, check=False)
    return result.stdout + result.stderr


REFUSED = {
    "overwrite-proc-self-exe": "echo x > /proc/1/exe",
    "raw-proc-mem": "dd if=/dev/zero of=/proc/kmem bs=1 count=1",
    "raw-proc-kcore": 'test -n "$(head -c 4 /proc/kcore)"',
    "write-proc-irq": "echo 1 > /proc/irq/default_smp_affinity",
    "write-proc-bus": "touch /proc/bus/x",
    "write-proc-fs": "touch /proc/fs/x",
    "write-modprobe-path": "echo /tmp/x > /proc/sys/kernel/modprobe",
    "write-binfmt-misc": "echo :x:M::x::/tmp/x: > /proc/sys/fs/binfmt_misc/register",
    "leave-by-the-old-root": "cd /../../../../.. && test -e work/main/pyproject.toml",
    "remount-root-read-write": "mount -o remount,rw /",
    "remount-a-mask-away": "mount -o remount,bind,rw /proc/keys",
    "unshare-every-namespace": "unshare -Urmpf true",
    "trace-a-process-of-ours": "cat /proc/1/../2/environ && false",
    "mount": "mount -t tmpfs none /mnt",
    "bind-mount": "mount -o bind /etc /mnt",
    "remount-proc": "mount -o remount,rw /proc/sys",
    "unmount-a-mask": "umount /proc/kcore",
    "unshare-user-namespace": "unshare -U true",
    "unshare-mount-namespace": "unshare -m true",
    "enter-namespaces": "nsenter --mount=/proc/1/ns/mnt true && mount -t proc p /mnt",
    "make-a-device-node-and-read-the-disk": "mknod /tmp/disk b 254 0 && dd if=/tmp/disk of=/dev/null bs=512 count=1",
    "make-a-memory-node-and-read-it": "mknod /tmp/mem c 1 1 && dd if=/tmp/mem of=/dev/null bs=512 count=1",
    "write-sysrq": "echo h > /proc/sysrq-trigger",
    "write-core-pattern": "echo '|/tmp/x' > /proc/sys/kernel/core_pattern",
    "write-a-sysctl": "echo 1 > /proc/sys/vm/drop_caches",
    "write-uevent-helper": "echo /tmp/x > /sys/kernel/uevent_helper",
    "write-release-agent": "for f in /sys/fs/cgroup/*/release_agent; do echo /tmp/x > $f || exit 1; done",
    "mount-a-cgroup": "mkdir /tmp/c && mount -t cgroup -o memory cgroup /tmp/c",
    "load-a-module": "insmod /bin/busybox",
    "set-the-clock": "date -s 2001-01-01; [ $(date +%Y) = 2001 ]",
    "set-the-hosts-name": "hostname pwned",
    "reboot": "reboot -f",
    "swap": "swapon /bin/busybox",
    "chroot-and-pivot": "mkdir /tmp/p && pivot_root /tmp/p /tmp/p",
    "raw-disk-of-the-host": "cat /dev/vda > /dev/null",
    "change-a-network-interface": "ip link set eth0 down",
    "kernel-log": "dmesg -c",
}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_refused(daemon: Daemon, name: str) -> None:
    output = inside(daemon, f"({REFUSED[name]}) && echo BROKEN-OUT")
    assert "BROKEN-OUT" not in output, output


def test_masked_paths_are_empty(daemon: Daemon) -> None:
    output = inside(
        daemon,
        "cat /proc/kcore /proc/keys /proc/timer_list /proc/sched_debug 2>/dev/null | wc -c; ls /sys/firmware | wc -l",
    )
    assert output.split() == ["0", "0"]


def test_no_descriptor_is_passed_in(daemon: Daemon) -> None:
    """ls has its own descriptor of the directory as number 3."""
    assert inside(daemon, "ls /proc/self/fd").split() == ["0", "1", "2", "3"]
    daemon.docker("run", "-d", "--name", "host", "busybox", "sleep", "100")
    assert daemon.docker("exec", "host", "ls", "/proc/self/fd").stdout.split() == ["0", "1", "2", "3"]


def test_the_engines_interpreter_cannot_be_overwritten(daemon: Daemon) -> None:
    """CVE-2019-5736: an image whose program is /proc/self/exe makes the runtime execute itself inside."""
    dockerfile = "FROM busybox\nRUN (echo '#!/proc/self/exe'; echo 'print(1)') > /run-me; chmod 755 /run-me\n"
    daemon.docker("build", "-t", "selfexe", "-", stdin=dockerfile)
    before = Path(os.path.realpath("/proc/self/exe")).stat()
    for _ in range(3):
        daemon.docker("run", "--rm", "selfexe", "/run-me", check=False)
        inside(daemon, "for p in /proc/[0-9]*; do (echo pwned > $p/exe) 2>/dev/null; done; echo done")
    after = Path(os.path.realpath("/proc/self/exe")).stat()
    assert (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, after.st_size)
    daemon.docker("rmi", "-f", "selfexe")


def test_copy_does_not_follow_links_out(daemon: Daemon, tmp_path: Path) -> None:
    """docker cp through a symlink inside resolves within the container, running or not."""
    secret = tmp_path / "secret"
    secret.write_text("host")
    daemon.docker("run", "-d", "--name", "links", "busybox", "sh", "-c",
                  f"ln -s / /up; ln -s ../../../../../../../..{tmp_path} /out; sleep 100")  # fmt: skip
    poison = tmp_path / "poison"
    poison.write_text("poison")
    for _ in ("running", "stopped"):
        result = daemon.docker("cp", "links:/out/secret", str(tmp_path / "stolen"), check=False)
        assert result.returncode != 0 and not (tmp_path / "stolen").exists()
        daemon.docker("cp", str(poison), "links:/out/", check=False)
        daemon.docker("cp", str(poison), f"links:/up{tmp_path}/secret", check=False)
        assert secret.read_text() == "host"
        daemon.docker("stop", "-t", "0", "links")


def test_copies_of_a_stopped_container_stay_in_the_volume(daemon: Daemon, tmp_path: Path) -> None:
    """The volume's part that is mounted may have become a link since."""
    (tmp_path / "secret").write_text("host")
    daemon.docker("run", "--rm", "-v", "sub:/v", "busybox", "sh", "-c", "mkdir /v/part; echo mine >/v/part/secret")
    mount = "type=volume,src=sub,dst=/part,volume-subpath=part"
    daemon.docker("create", "--name", "parted", "--mount", mount, "busybox", "true")
    assert daemon.docker("cp", "parted:/part/secret", "-").stdout
    daemon.docker("run", "--rm", "-v", "sub:/v", "busybox", "sh", "-c",
                  f"rm -r /v/part; ln -s ../../../../../../../..{tmp_path} /v/part")  # fmt: skip
    assert daemon.docker("cp", "parted:/part/secret", "-", check=False).returncode != 0
    assert daemon.docker("start", "-a", "parted", check=False).returncode != 0
    daemon.docker("rm", "parted")


def test_capabilities_and_seccomp(daemon: Daemon) -> None:
    status = inside(daemon, "grep -E 'CapEff|CapBnd|Seccomp:|NoNewPrivs' /proc/self/status")
    values = dict(line.split(":\t") for line in status.splitlines())
    assert int(values["CapEff"], 16) == 0xA80425FB, "Docker's default set"
    assert int(values["CapBnd"], 16) == 0xA80425FB
    assert values["Seccomp"].strip() == "2"
    nobody = inside(daemon, "grep CapEff /proc/self/status", "-u", "1000")
    assert int(nobody.split()[1], 16) == 0


def test_read_only_root(daemon: Daemon) -> None:
    output = inside(daemon, "touch /x && echo BROKEN-OUT; touch /tmp/ok && echo fine", "--read-only", "--tmpfs", "/tmp")
    assert "BROKEN-OUT" not in output and "fine" in output


def test_other_containers_are_out_of_sight(daemon: Daemon) -> None:
    daemon.docker("run", "-d", "--name", "neighbour", "busybox", "sleep", "12345")
    assert "12345" not in inside(daemon, "ps; cat /proc/*/cmdline")


def test_no_descriptor_leaks_in(daemon: Daemon) -> None:
    """CVE-2024-21626: neither a container nor an exec finds more open than its three streams (and ls's own)."""
    count = "ls /proc/self/fd | wc -l"  # three, and that of ls
    assert inside(daemon, count) == "4\n"
    daemon.docker("run", "-d", "--name", "held", "busybox", "sleep", "100")
    assert daemon.docker("exec", "held", "sh", "-c", count).stdout == "4\n"
    for fd in range(3, 30):
        result = daemon.docker("run", "--rm", "-w", f"/proc/self/fd/{fd}", "busybox", "ls", check=False)
        assert result.returncode != 0 or "pyproject" not in result.stdout
        result = daemon.docker("exec", "-w", f"/proc/self/fd/{fd}/../../..", "held", "ls", check=False)
        assert "work" not in result.stdout.split()


FLIP = "while :; do ln -sfn /real /flip; ln -sfn {outside} /flip; done"


def test_a_link_flipped_during_copies_leads_nowhere_out(daemon: Daemon, tmp_path: Path) -> None:
    """CVE-2018-15664: the copy looks the path up once, beneath the root, whatever becomes of it meanwhile."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("host")
    poison = tmp_path / "poison"
    poison.write_text("poison")
    script = f"mkdir /real; echo inside > /real/secret; {FLIP.format(outside='../../../../../../..' + str(outside))}"
    daemon.docker("run", "-d", "--name", "racer", "busybox", "sh", "-c", script)
    for attempt in range(25):
        target = tmp_path / f"got{attempt}"
        daemon.docker("cp", "racer:/flip/secret", str(target), check=False)
        assert not target.exists() or target.read_text() != "host"
        daemon.docker("cp", str(poison), "racer:/flip/secret", check=False)
        daemon.docker("cp", str(poison), "racer:/flip/", check=False)
    assert (outside / "secret").read_text() == "host"
    assert [path.name for path in outside.iterdir()] == ["secret"]


def test_no_library_of_the_container_is_loaded_by_us(daemon: Daemon) -> None:
    """CVE-2019-14271: copies and execs make no process of ours load what the container put where libraries are."""
    plant = (
        "for d in /lib /lib64 /lib/x86_64-linux-gnu /usr/lib /usr/lib/x86_64-linux-gnu; do mkdir -p $d; "
        "for l in libnss_files.so.2 libnss_compat.so.2 libc.so.6; do echo '#!' > $d/$l; done; done; "
        "echo 'passwd: files compat' > /etc/nsswitch.conf; echo /lib/libnss_files.so.2 > /etc/ld.so.preload; sleep 100"
    )
    daemon.docker("run", "-d", "--name", "trap", "busybox", "sh", "-c", plant)
    assert daemon.docker("exec", "trap", "test", "-s", "/lib/libc.so.6").returncode == 0
    daemon.docker("cp", "trap:/etc/nsswitch.conf", "-", check=False)
    assert daemon.docker("exec", "-u", "nobody:nobody", "trap", "id", check=False).returncode in (0, 126)
    assert daemon.process is not None
    for pid in (daemon.process.pid, *daemon.zygote_pids()):
        maps = Path(f"/proc/{pid}/maps").read_text()
        assert str(daemon.data_root / "snapshots") not in maps


def test_masks_and_console_do_not_follow_links_of_the_image(daemon: Daemon, tmp_path: Path) -> None:
    """CVE-2025-31133 and 52565: an image's links at /dev/null, /dev/console, /proc or /sys lead no mount astray."""
    victim = tmp_path / "victim"
    victim.write_text("host")
    up = "../../../../../../../.." + str(victim)
    dockerfile = (
        f"FROM busybox\nRUN rm -rf /dev/null /dev/console; ln -s {up} /dev/null; ln -s {up} /dev/console; "
        f"ln -s {up} /dev/pts; ln -s {up} /dev/ptmx; rm -rf /proc /sys; ln -s {tmp_path} /proc || true\n"
    )
    daemon.docker("build", "-t", "linked", "-", stdin=dockerfile, check=False)
    for options in ([], ["-t"], ["--privileged"]):
        daemon.docker("run", "--rm", *options, "linked", "sh", "-c", "echo gone > /dev/null", check=False)
    assert victim.read_text() == "host"
    assert not os.path.ismount(victim) and Path("/dev/null").is_char_device()
    daemon.docker("rmi", "-f", "linked", check=False)


def test_masks_hold_while_their_container_races(daemon: Daemon) -> None:
    """Containers that share a volume over /proc-like paths start beside one another; every mask is there each time."""
    daemon.docker("run", "-d", "--name", "racer", "-v", "raced:/v", "busybox", "sh", "-c",
                  "while :; do ln -sfn /proc /v/p; rm -f /v/p; mkdir -p /v/p; rmdir /v/p; done")  # fmt: skip
    check = "cat /proc/kcore /proc/keys /proc/timer_list 2>/dev/null | wc -c; echo x > /proc/sysrq-trigger"
    for _ in range(8):
        assert inside(daemon, check, "-v", "raced:/v").splitlines()[0] == "0"
    daemon.docker("rm", "-f", "racer")
    daemon.docker("volume", "rm", "raced")


def test_keyrings_are_closed(daemon: Daemon) -> None:
    """The kernel's keyrings know no namespaces: their lists are masked, and the calls refused."""
    assert inside(daemon, "wc -c < /proc/keys") == "0\n"
    # add_key, request_key, keyctl by the host's perl: numbers of x86-64 and of everybody else.
    numbers = (248, 249, 250) if os.uname().machine == "x86_64" else (217, 218, 219)
    script = (
        f"for my $n {numbers} {{ $! = 0; syscall($n, 0, -3, 1, 0, 0); print $!{{EPERM}} ? 'refused' : 'BROKEN-OUT' }}"
    )
    shown = [word for path in ("/usr", "/lib", "/lib64") if Path(path).exists() for word in ("-v", f"{path}:{path}:ro")]
    result = daemon.docker("run", "--rm", *shown, "busybox", "/usr/bin/perl", "-e", script)
    assert result.stdout == "refused" * 3


def test_release_agent_cannot_be_reached_with_a_capability(daemon: Daemon) -> None:
    """CVE-2022-0492: even with SYS_ADMIN the groups that are shown are read-only."""
    script = "for f in /sys/fs/cgroup/*/release_agent; do echo /x > $f && echo BROKEN-OUT; done"
    assert "BROKEN-OUT" not in inside(daemon, script, "--cap-add", "SYS_ADMIN")


def test_the_hosts_null_device_is_given_to_nobody(daemon: Daemon) -> None:
    """Streams change owner for ``-u``; a stdin that is /dev/null is the host's own."""
    before = os.stat("/dev/null")
    daemon.docker("run", "-d", "--name", "plain", "-u", "4321", "busybox", "sleep", "100")
    daemon.docker("exec", "-u", "4322", "plain", "true")
    after = os.stat("/dev/null")
    assert after.st_uid not in (4321, 4322) and after.st_mode == before.st_mode
