"""A virtual machine with cgroup v2: Debian's cloud kernel, a disk with our Python, this tree and its runtime tests.

Owns the disk image, the initramfs and the qemu command.  qemu runs without KVM (these machines have none that boots a
stock kernel), so everything inside takes several times longer.  Knows nothing of what is tested inside.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DISK_SIZE = "1200M"
HEARTBEAT = "vm-heartbeat"
TEST_PACKAGES = (
    "pytest", "_pytest", "py.py", "pluggy", "iniconfig", "packaging", "pygments", "pytest_timeout.py", "hypothesis",
    "sortedcontainers", "_hypothesis_globals.py", "_hypothesis_ftz_detector.py", "_hypothesis_pytestplugin.py",
)  # fmt: skip

# Loads the driver of the disk, mounts it and makes it the root; everything else is done by INIT on the disk.
INITRAMFS_INIT = """#!/bin/sh
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
for module in /modules/*; do /bin/busybox insmod "$module"; done
/bin/busybox mount -t ext4 /dev/vda /disk || exec /bin/busybox poweroff -f
exec /bin/busybox switch_root /disk /sbin/init
"""

INIT = """#!/bin/sh
export PATH=/bin:/sbin:/usr/bin:/usr/sbin HOME=/root
busybox mount -t devtmpfs dev /dev; mkdir -p /dev/pts /dev/shm
busybox mount -t proc proc /proc; busybox mount -t sysfs sys /sys
busybox mount -t devpts pts /dev/pts; busybox mount -t tmpfs shm /dev/shm; busybox mount -t tmpfs tmp /tmp
busybox mount -t tmpfs run /run
busybox mount -t cgroup2 cgroup2 /sys/fs/cgroup
for module in overlay veth bridge; do busybox modprobe "$module"; done
busybox ip link set lo up
(while :; do echo {heartbeat} >/dev/ttyS0; busybox sleep 5; done) &
cd /work/tree
{command} >/dev/ttyS0 2>&1
echo "vm-exit-status=$?" >/dev/ttyS0
busybox sync
busybox poweroff -f
"""


@dataclass(frozen=True)
class Outcome:
    """What the command inside printed and returned; ``status`` is None when the machine itself did not get that far."""

    status: int | None
    output: str


def kernel() -> tuple[Path, Path] | None:
    """The newest cloud kernel of Debian's and its modules."""
    for image in sorted(Path("/boot").glob("vmlinuz-*-cloud-*"), reverse=True):
        modules = Path("/lib/modules") / image.name.removeprefix("vmlinuz-")
        if modules.is_dir():
            return image, modules
    return None


def module_order(modules: Path, name: str) -> list[Path]:
    """The files to insert, in order, for a module: its dependencies as modules.dep lists them, then itself."""
    for line in (modules / "modules.dep").read_text().splitlines():
        path, _, needs = line.partition(":")
        if Path(path).name.split(".")[0] == name:
            return [modules / need for need in reversed(needs.split())] + [modules / path]
    return []  # built in


def libraries(program: Path) -> set[Path]:
    listing = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    return {Path(found) for found in re.findall(r"(/\S+\.so\S*)", listing)}


def copy(source: Path, root: Path) -> None:
    """Copy a file to the same path below root, its symlinks resolved."""
    target = root / str(source).lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        shutil.copy2(source.resolve(), target)


def fill_python(root: Path) -> None:
    """The interpreter that runs these tests, its standard library, the packages that the tests inside import."""
    base = Path(sys.base_prefix)
    interpreter = Path(os.path.realpath(sys.executable))
    copy(interpreter, root)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    stdlib = Path(os.__file__).parent
    ignore = shutil.ignore_patterns(
        "site-packages", "dist-packages", "test", "tests", "idlelib", "tkinter", "ensurepip", "config-*", "__pycache__",
        "lib2to3", "turtledemo", "pydoc_data", "*.a",
    )  # fmt: skip
    shutil.copytree(stdlib, root / str(stdlib).lstrip("/"), ignore=ignore, dirs_exist_ok=True)
    for library in (base / "lib").glob("libpython*.so*"):
        copy(library, root)
    needed = libraries(interpreter)
    for extension in (stdlib / "lib-dynload").glob("*.so"):
        needed |= libraries(extension)
    for library in needed:
        copy(library, root)
    packages = Path(sys.executable).parent.parent / "lib" / version / "site-packages"
    for name in TEST_PACKAGES:
        source = packages / name
        target = root / "work/packages" / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    for info in packages.glob("pytest_timeout-*.dist-info"):  # the plug-in is found by its entry point
        shutil.copytree(info, root / "work/packages" / info.name)


def fill_disk(root: Path, modules: Path, command: str) -> None:
    for folder in ("bin", "sbin", "dev", "proc", "sys", "tmp", "run", "root", "etc", "var/tmp", "usr/bin"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    busybox = Path(shutil.which("busybox") or "/bin/busybox")
    shutil.copy2(busybox, root / "bin/busybox")
    for applet in subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split():
        if not (root / "bin" / applet).exists():
            (root / "bin" / applet).symlink_to("/bin/busybox")
    for runtime in filter(None, map(shutil.which, ("runc", "crun"))):
        for file in (Path(runtime), *libraries(Path(runtime))):
            copy(file, root)
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n")
    (root / "etc/group").write_text("root:x:0:\n")
    shutil.copytree(modules, root / str(modules).lstrip("/"), dirs_exist_ok=True,
                    ignore=shutil.ignore_patterns("sound", "gpu", "wireless"))  # fmt: skip
    for part in ("src", "tests"):
        shutil.copytree(ROOT / part, root / "work/tree" / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(ROOT / "pyproject.toml", root / "work/tree/pyproject.toml")
    init = root / "sbin/init"
    init.unlink(missing_ok=True)
    init.write_text(INIT.format(heartbeat=HEARTBEAT, command=command))
    init.chmod(0o755)
    fill_python(root)


def make_initramfs(root: Path, modules: Path, target: Path) -> None:
    for folder in ("bin", "dev", "proc", "disk", "modules"):
        (root / folder).mkdir(parents=True)
    shutil.copy2(shutil.which("busybox") or "/bin/busybox", root / "bin/busybox")
    (root / "bin/sh").symlink_to("busybox")
    order = [path for name in ("virtio_pci", "virtio_blk", "ext4") for path in module_order(modules, name)]
    for number, path in enumerate(dict.fromkeys(order)):
        shutil.copy2(path, root / "modules" / f"{number:02}-{path.name}")
    (root / "init").write_text(INITRAMFS_INIT)
    (root / "init").chmod(0o755)
    names = "\n".join(str(path.relative_to(root)) for path in [root, *sorted(root.rglob("*"))])
    with target.open("wb") as out:
        subprocess.run(["cpio", "--quiet", "-o", "-H", "newc"], input=names.encode(), stdout=out, cwd=root, check=True)


def python_command(*arguments: str) -> str:
    interpreter = os.path.realpath(sys.executable)
    return f"PYTHONPATH=/work/tree/src:/work/tree/tests:/work/packages {interpreter} {' '.join(arguments)}"


def run(scratch: Path, command: str, timeout: float) -> Outcome:
    """Boot, run a shell command inside, power off."""
    found = kernel()
    assert found is not None, "no cloud kernel: scripts/install-packages brings it"
    image, modules = found
    fill_disk(scratch / "disk", modules, command)
    make_initramfs(scratch / "initramfs", modules, scratch / "initramfs.cpio")
    subprocess.run(
        ["mke2fs", "-q", "-t", "ext4", "-d", scratch / "disk", "-O", "^has_journal", scratch / "disk.img", DISK_SIZE],
        check=True,
    )
    qemu = [
        "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-machine", "q35", "-cpu", "max", "-smp", "2", "-m", "1536",
        "-nographic", "-no-reboot", "-nodefaults", "-serial", "stdio",
        "-kernel", str(image), "-initrd", str(scratch / "initramfs.cpio"),
        "-append", "console=ttyS0 quiet panic=-1 cgroup_no_v1=all random.trust_cpu=on",
        "-drive", f"file={scratch}/disk.img,format=raw,if=virtio,cache=unsafe",
    ]  # fmt: skip
    try:
        done = subprocess.run(qemu, capture_output=True, timeout=timeout, check=False, stdin=subprocess.DEVNULL)
        output = done.stdout.decode(errors="replace")
    except subprocess.TimeoutExpired as expired:
        output = (expired.stdout or b"").decode(errors="replace")
    status = re.search(r"vm-exit-status=(\d+)", output)
    output = "\n".join(line for line in output.splitlines() if HEARTBEAT not in line)
    return Outcome(int(status[1]) if status else None, output)
