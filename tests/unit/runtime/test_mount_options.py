"""Option words and the plan of a root file system."""

from __future__ import annotations

from corten.kernel import flags
from corten.kernel.overlay import lower_directories
from corten.runtime import rootfs
from corten.runtime.mount_options import MountOptions
from corten.spec.runtime import Spec


def test_words_are_sorted_to_their_calls() -> None:
    options = MountOptions.parse(["rbind", "ro", "rro", "nosuid", "rslave", "size=64k", "newinstance", "noatime"])
    assert options.attr_set == flags.MOUNT_ATTR_RDONLY | flags.MOUNT_ATTR_NOSUID | flags.MOUNT_ATTR_NOATIME
    assert options.tree_set == flags.MOUNT_ATTR_RDONLY
    assert (options.bind, options.recursive) == (True, True)
    assert (options.propagation, options.propagation_recursive) == (flags.MS_SLAVE, True)
    assert options.data == (("size", "64k"), ("newinstance", None))


def test_later_words_win() -> None:
    options = MountOptions.parse(["ro", "rw", "noexec", "exec"])
    assert options.attr_set == 0
    assert options.attr_clr == flags.MOUNT_ATTR_RDONLY | flags.MOUNT_ATTR_NOEXEC


def test_lower_directories_with_colons() -> None:
    assert lower_directories("/a:/b\\:c:/d") == ["/a", "/b:c", "/d"]


def test_the_plan_in_words() -> None:
    spec = Spec.parse(
        {
            "process": {"args": ["true"], "cwd": "/srv"},
            "root": {"readonly": True},
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid"]},
                {"destination": "/etc/hosts", "type": "bind", "source": "/b/hosts", "options": ["rbind", "ro"]},
                {"destination": "/sys/fs/cgroup", "type": "cgroup", "options": ["ro"]},
            ],
            "linux": {"maskedPaths": ["/proc/kcore"], "readonlyPaths": ["/proc/sys"]},
        }
    )
    told = [each.describe() for each in rootfs.plan(spec, [("/sys/fs/cgroup/pids/x", "pids")])]
    assert told[:3] == [
        "mount proc at /proc (nosuid)",
        "bind /b/hosts at /etc/hosts (rbind,ro)",
        "show 1 control group hierarchies at /sys/fs/cgroup",
    ]
    assert "make the usual 6 nodes and 6 links in /dev" in told
    assert told[-4:] == ["make /srv", "protect /proc/sys", "mask /proc/kcore", "protect /"]


def test_a_bound_dev_is_left_alone() -> None:
    spec = Spec.parse(
        {
            "process": {"args": ["true"]},
            "mounts": [{"destination": "/dev", "type": "bind", "source": "/dev", "options": ["rbind"]}],
        }
    )
    assert not any(each.describe().startswith(("node", "make the usual")) for each in rootfs.plan(spec, []))
