"""A Debian base image from Debian's signed mirror, through mmdebstrap.

Owns: the command line, built from this machine's own apt settings (mirror, keyring, proxy), and running it.
"""

from __future__ import annotations

import os
import re
import shutil
import tarfile
from collections.abc import Iterator
from typing import NamedTuple

from corten.errors import Denied, Invalid, NotFound, Unavailable

MIRROR = "http://deb.debian.org/debian"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
COMMAND = '["bash"]'
BLOCK = 256 * 1024

# What the image needs no copy of: caches, logs, and what is made anew on each machine.
_CLEAN = (
    'rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*.bin "$1"/var/cache/apt/archives/*.deb '
    '"$1"/var/log/*.log "$1"/var/log/apt/* "$1"/var/cache/ldconfig/aux-cache'
)
# In a container nothing may be started by a package's installation.  mmdebstrap removes such a file when it is done,
# so it goes in front of mmdebstrap's archive.
_POLICY = ("usr/sbin/policy-rc.d", b"#!/bin/sh\nexit 101\n")
_SETTINGS = 'APT::Keep-Downloaded-Packages "false";\\nAcquire::Languages "none";\\n'
_APT = f"""printf '{_SETTINGS}' > "$1"/etc/apt/apt.conf.d/docker-clean"""


class Host(NamedTuple):
    """What this machine's apt is told."""

    mirror: str
    keyring: str
    proxy: str


def parse_name(name: str) -> str:
    """``debian:bookworm`` as a suite; raises Invalid."""
    suite = name.partition(":")[2] or "stable"
    if not re.fullmatch(r"[a-z][a-z0-9-]*", suite):
        raise Invalid(f"{name!r}: the tag is the name of a Debian suite, such as bookworm")
    return suite


def host(root: str = "/etc/apt") -> Host:
    """The mirror, keyring and proxy of this machine, with Debian's own where it has none."""
    return Host(_mirror(root), KEYRING if os.path.exists(KEYRING) else "", _proxy())


def _mirror(root: str) -> str:
    texts = [_read(os.path.join(root, "sources.list"))]
    folder = os.path.join(root, "sources.list.d")
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    texts += [_read(os.path.join(folder, name)) for name in names if name.endswith((".list", ".sources"))]
    for text in texts:
        for line in text.splitlines():
            found = re.match(r"(?:deb\s+(?:\[[^]]*\]\s*)?|URIs:\s*)(https?://\S+/debian)/?(?:\s|$)", line.strip())
            if found:
                return found[1]
    return MIRROR


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _proxy() -> str:
    import subprocess

    try:
        shown = subprocess.run(
            ["apt-config", "dump", "Acquire::http::Proxy"], capture_output=True, text=True, check=False
        ).stdout
    except OSError:
        shown = ""
    found = re.search(r'^Acquire::http::Proxy "([^"]+)";', shown, re.MULTILINE)
    return found[1] if found else os.environ.get("http_proxy") or os.environ.get("HTTP_PROXY") or ""


def arguments(suite: str, settings: Host) -> list[str]:
    """The words of mmdebstrap that write a minimal system to standard output."""
    words = ["mmdebstrap", "--variant=minbase", "--mode=root", "--format=tar"]
    if settings.keyring:
        words.append(f"--keyring={settings.keyring}")
    if settings.proxy:
        words.append(f'--aptopt=Acquire::http::Proxy "{settings.proxy}"')
    words += [f"--customize-hook={_APT}", f"--customize-hook={_CLEAN}"]
    sources = [f"deb {settings.mirror} {suite} main"]
    if suite not in ("sid", "unstable", "experimental"):
        sources.append(f"deb {settings.mirror} {suite}-updates main")
        security = settings.mirror.removesuffix("/debian") + "/debian-security"
        sources.append(f"deb {security} {suite}-security main")
    return [*words, suite, "-", *sources]


def stream(suite: str) -> Iterator[bytes]:
    """The root file system as a tar; raises NotFound, Denied or Unavailable."""
    made = _made(suite)
    first = next(made, b"")
    yield from _policy()
    yield first
    yield from made


def _policy() -> Iterator[bytes]:
    path, content = _POLICY
    for folder in ("usr", "usr/sbin"):
        member = tarfile.TarInfo(folder)
        member.type, member.mode = tarfile.DIRTYPE, 0o755
        yield member.tobuf(tarfile.PAX_FORMAT)
    member = tarfile.TarInfo(path)
    member.size, member.mode = len(content), 0o755
    yield member.tobuf(tarfile.PAX_FORMAT)
    yield content.ljust(tarfile.BLOCKSIZE, b"\0")


def _made(suite: str) -> Iterator[bytes]:
    import subprocess

    if shutil.which("mmdebstrap") is None:
        raise NotFound(
            "mmdebstrap is not installed", hint="Install it and run the command again: apt-get install mmdebstrap"
        )
    if hasattr(os, "geteuid") and os.geteuid() != 0:
        raise Denied("a Debian base is made as root", hint="Run the command with sudo.")
    environment = {**os.environ, "SOURCE_DATE_EPOCH": os.environ.get("SOURCE_DATE_EPOCH", "0")}
    with subprocess.Popen(arguments(suite, host()), stdout=subprocess.PIPE, env=environment) as maker:
        assert maker.stdout is not None
        try:
            while data := maker.stdout.read(BLOCK):
                yield data
        except BaseException:
            maker.terminate()
            raise
        if maker.wait():
            raise Unavailable(f"mmdebstrap failed with exit status {maker.returncode}; its own words are above")
