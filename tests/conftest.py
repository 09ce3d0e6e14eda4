"""What every test shares: the root marker, and the check that a session leaves nothing behind on the machine."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

# Every process of ours started by this session inherits this, so that stray ones are told from other sessions'.
SESSION = f"{os.getpid()}-{int(time.time())}"
os.environ["CORTEN_TEST_SESSION"] = SESSION
os.environ["DOCKER_BUILDKIT"] = "0"
os.environ["DOCKER_CLI_HINTS"] = "false"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that need root say so in their result, where there is none."""
    if os.geteuid() == 0:
        return
    skip = pytest.mark.skip(reason="needs root")
    for item in items:
        if item.get_closest_marker("root"):
            item.add_marker(skip)


def stray_processes() -> set[str]:
    """Processes that carry this session's mark in their environment, or sit in a control group of Corten's."""
    found = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or entry.name == str(os.getpid()):
            continue
        try:
            marked = f"CORTEN_TEST_SESSION={SESSION}".encode() in (entry / "environ").read_bytes()
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            grouped = "/corten" in (entry / "cgroup").read_text()
        except OSError:
            continue
        if (marked or grouped) and command:
            found.add(f"process {entry.name} {command[:120]}")
    return found


def leftovers() -> set[str]:
    """Everything on this machine that a session of ours could have left: processes, mounts, links, groups, rules."""
    found = stray_processes()
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if "corten" in line:
            found.add(f"mount {line.split()[4]}")
    for link in Path("/sys/class/net").iterdir():
        if link.name.startswith(("corten", "br-", "ct-", "veth", "ctn")):
            found.add(f"link {link.name}")
    for directory, names, _ in os.walk("/sys/fs/cgroup"):  # unlike glob(), at ease with groups that go meanwhile
        if os.path.basename(directory).startswith("corten"):
            found |= {f"cgroup {directory}/{name}" for name in names}
    return found


@pytest.fixture(scope="session", autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fails the session when it leaves a process, mount, link or control group of ours behind."""
    before = leftovers()
    yield
    if os.environ.get("CORTEN_SHARED_MACHINE"):  # other sessions work on this machine at the same time
        return
    deadline = time.monotonic() + 30
    while (left := leftovers() - before) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not left, "left behind by the tests:\n" + "\n".join(sorted(left))
