"""A small internet: machines as network namespaces on one wire, each with a /etc of its own, and an authority for TLS.

A machine's programs run in its network namespace and in a mount namespace of their own, which goes with them: nothing
of it is seen on the real machine but the namespace's name.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rig.daemon import Daemon

NETWORK = "198.51.100"

# As `ip netns exec` mounts a fresh /sys, control groups are carried over.
_ENTER = """
mkdir -p {root}/work {root}/groups
mount --rbind /sys/fs/cgroup {root}/groups
mount -t overlay -o lowerdir=/etc,upperdir={root}/etc,workdir={root}/work overlay /etc
exec ip netns exec {name} sh -c 'mount --rbind {root}/groups /sys/fs/cgroup && exec "$@"' sh "$@"
"""

_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def run(*command: str, stdin: str = "", check: bool = True) -> str:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise AssertionError(f"{shlex.join(command)} exited {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def eventually(condition: Callable[[], object], what: str, timeout: float = 30) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


class Internet:
    """The wire.  Machines plug in; ``close`` takes all of it away."""

    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="corten-net-", dir="/tmp"))
        self.name = f"corten-{os.getpid()}-net"
        self.hosts = ["127.0.0.1 localhost"]
        self.namespaces: list[str] = []
        self.processes: list[subprocess.Popen[bytes]] = []
        self._add(self.name)
        run("ip", "-n", self.name, "link", "add", "wire", "type", "bridge")
        run("ip", "-n", self.name, "link", "set", "wire", "up")

    def _add(self, namespace: str) -> None:
        run("ip", "netns", "add", namespace)
        self.namespaces.append(namespace)
        run("ip", "-n", namespace, "link", "set", "lo", "up")

    def machine(self, name: str, number: int) -> Machine:
        """Plug a machine in as ``<name>.example``."""
        namespace = f"corten-{os.getpid()}-{name}"
        self._add(namespace)
        ours = ["ip", "-n", self.name]
        run(*ours, "link", "add", f"to-{number}", "type", "veth", "peer", "name", "eth0", "netns", namespace)
        run(*ours, "link", "set", f"to-{number}", "master", "wire", "up")
        address = f"{NETWORK}.{number}"
        run("ip", "-n", namespace, "address", "add", f"{address}/24", "dev", "eth0")
        run("ip", "-n", namespace, "link", "set", "eth0", "up")
        self.hosts.append(f"{address} {name}.example")
        return Machine(self, name, namespace, address)

    def authority(self) -> Path:
        """The certificate of the authority; made once."""
        authority = self.root / "ca.crt"
        if not authority.exists():
            run("openssl", "req", "-x509", *_NEW_KEY, "-keyout", str(self.root / "ca.key"), "-out", str(authority),
                "-days", "2", "-subj", "/CN=Test authority", "-addext", "basicConstraints=critical,CA:TRUE",
                "-addext", "keyUsage=critical,keyCertSign")  # fmt: skip
        return authority

    def certificate(self, name: str) -> tuple[Path, Path]:
        """A certificate and its key for a name."""
        authority, key, request = self.authority(), self.root / f"{name}.key", self.root / f"{name}.csr"
        certificate, extensions = self.root / f"{name}.crt", self.root / f"{name}.ext"
        run("openssl", "req", *_NEW_KEY, "-keyout", str(key), "-out", str(request), "-subj", f"/CN={name}")
        extensions.write_text(f"subjectAltName=DNS:{name}\nextendedKeyUsage=serverAuth\n")
        run("openssl", "x509", "-req", "-in", str(request), "-CA", str(authority), "-CAkey", str(self.root / "ca.key"),
            "-days", "2", "-extfile", str(extensions), "-out", str(certificate))  # fmt: skip
        return certificate, key

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
        for process in self.processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            if process.poll() is None:
                process.kill()
                process.wait()
        for namespace in self.namespaces:
            run("ip", "netns", "delete", namespace, check=False)
        shutil.rmtree(self.root, ignore_errors=True)


class Machine:
    """One namespace: an address, a name, a /etc."""

    def __init__(self, internet: Internet, name: str, namespace: str, address: str) -> None:
        self.internet = internet
        self.name = name
        self.namespace = namespace
        self.address = address
        self.root = internet.root / name
        (self.root / "etc").mkdir(parents=True)

    def prepare(self, *registries: str) -> None:
        """Write its /etc: everybody's names, and the authority that it trusts for registries."""
        (self.root / "etc/hosts").write_text("\n".join(self.internet.hosts) + "\n")
        for registry in registries:
            folder = self.root / "etc/docker/certs.d" / registry
            folder.mkdir(parents=True)
            shutil.copy(self.internet.authority(), folder / "ca.crt")

    def command(self, *words: str) -> list[str]:
        """The words as a command that runs on this machine; its process is the command's."""
        script = _ENTER.format(root=shlex.quote(str(self.root)), name=self.namespace)
        return ["unshare", "--mount", "--propagation", "slave", "sh", "-ec", script, "sh", *words]

    def curl(self, url: str) -> str:
        """What a URL answers, asked from here; empty if nothing does."""
        command = self.command("curl", "-s", "-m", "3", url)
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    def registry(self, configuration: str) -> subprocess.Popen[bytes]:
        """A registry of ours on this machine."""
        path = self.root / "registry.toml"
        path.write_text(configuration)
        words = [
            sys.executable,
            "-m",
            "corten.registry",
            "serve",
            "--config",
            str(path),
            "--root",
            str(self.root / "d"),
        ]
        with (self.root / "log").open("ab") as log:
            process = subprocess.Popen(self.command(*words), stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self.internet.processes.append(process)
        eventually(lambda: "listening" in (self.root / "log").read_text(), "the registry does not listen")
        return process


class Host(Daemon):
    """A cortend on a machine of the small internet."""

    def __init__(self, number: int, machine: Machine, *flags: str) -> None:
        super().__init__(number, *flags)
        self.machine = machine

    def command(self) -> list[str]:
        return self.machine.command(*super().command())
