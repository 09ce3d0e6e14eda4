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
