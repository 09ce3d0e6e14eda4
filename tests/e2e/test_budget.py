"""The disk budget: the dry run and its reasons, enforcement, pins, the background, and that it agrees with df."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from rig.daemon import Daemon

Make = Callable[..., Daemon]

MEGABYTE = 1 << 20


def make_image(daemon: Daemon, name: str, *lines: str) -> None:
    steps = [f"RUN dd if=/dev/urandom of=/{name} bs=1M count=4 2>/dev/null", *lines]
    daemon.docker("build", "-t", name, "-", stdin="\n".join(["FROM busybox", *steps]))


def budget(daemon: Daemon, *flags: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(daemon.corten("system", "budget", "--format=json", *flags, check=False).stdout)
    return found


def verdicts(found: dict[str, Any]) -> dict[str, tuple[bool, str]]:
    return {line["Name"]: (line["Remove"], line["Reason"]) for line in found["Lines"]}


def images(daemon: Daemon) -> set[str]:
    return set(daemon.docker("images", "--format", "{{.Repository}}").stdout.split())


def test_the_least_recently_used_goes_and_each_line_has_a_reason(own_daemon: Make) -> None:
    daemon = own_daemon("--disk-young", "0s")
    make_image(daemon, "first")
    make_image(daemon, "pinned", "LABEL corten.pin=true")
    make_image(daemon, "second")
    make_image(daemon, "third")
    daemon.docker("run", "-d", "--name", "runs", "third", "sleep", "100")
    daemon.docker("run", "--name", "dead", "second", "dd", "if=/dev/zero", "of=/x", "bs=1M", "count=3")
    daemon.docker("run", "--rm", "first", "true")
    before = budget(daemon)
    assert not any(line["Remove"] for line in before["Lines"])
    assert verdicts(before)["first:latest"] == (False, "there is no budget")
    # As df has it.
    usage = daemon.client().df()
    assert before["Usage"]["container"] == sum(box["SizeRw"] for box in usage["Containers"]) + logs(daemon)
    blobs = sum(path.stat().st_size for path in (daemon.data_root / "content/blobs/sha256").iterdir())
    assert before["Usage"]["image"] == usage["LayersSize"] + blobs
    # A ceiling that wants 5 MB: the dead container and its image are the least recently used.
    ceiling = str(before["Used"] - 5 * MEGABYTE)
    told = verdicts(budget(daemon, "--ceiling", ceiling))
    assert told["dead"] == (True, "not running, and the least recently used")
    assert told["second:latest"] == (True, "no container uses it, and the least recently used")
    assert told["first:latest"] == (False, "enough is free without it")
    assert told["pinned:latest"] == (False, "pinned by its label corten.pin")
    assert told["runs"] == (False, "it runs")
    assert told["third:latest"] == (False, "needed by container runs")
    assert images(daemon) == {"busybox", "first", "pinned", "second", "third"}  # a dry run
    text = daemon.corten("system", "budget", "--ceiling", ceiling).stdout
    assert "remove" in text and "Would free" in text
    daemon.corten("system", "budget", "--ceiling", ceiling, "--apply", "--force")
    assert images(daemon) == {"busybox", "first", "pinned", "third"}
    assert "dead" not in daemon.docker("ps", "-a", "--format", "{{.Names}}").stdout.split()
    # More than may go: all but what is held, and exit status 1.
    result = daemon.corten("system", "budget", "--ceiling", "1", "--apply", "--force", check=False)
    assert result.returncode == 1
    assert "nothing else may" in result.stdout
    assert images(daemon) >= {"pinned", "third"}
    assert "first" not in images(daemon)
    assert daemon.corten("system", "check").returncode == 0


def logs(daemon: Daemon) -> int:
    return sum(path.stat().st_size for path in (daemon.data_root / "containers").glob("*/*-json.log"))


def test_the_daemon_enforces_by_itself(own_daemon: Make) -> None:
    daemon = own_daemon("--disk-young", "0s", "--disk-budget", "12m")
    for name in ("one", "two", "three", "four"):
        make_image(daemon, name)
        time.sleep(0.02)
    assert budget(daemon)["Excess"] > 0
    daemon.restart()
    deadline = time.monotonic() + 60
    while budget(daemon)["Excess"] > 0:
        assert time.monotonic() < deadline, budget(daemon)
        time.sleep(0.5)
    assert "four" in images(daemon)
    assert "one" not in images(daemon)


def test_prunes_and_df_and_budget_agree(own_daemon: Make) -> None:
    daemon = own_daemon()
    dockerfile = (
        "FROM busybox AS stage\nRUN dd if=/dev/urandom of=/big bs=1M count=3 && md5sum /big > /sum\n"
        "FROM busybox\nRUN --mount=type=cache,target=/kept dd if=/dev/zero of=/kept/file bs=1M count=2\n"
        "COPY --from=stage /sum /sum\n"
    )
    daemon.docker("build", "-t", "staged", "-", stdin=dockerfile)
    found = budget(daemon)["Usage"]
    assert found["cache mount"] == rows_size(daemon)
    # The stage is an image without a name, as the classic builder leaves it.
    reclaimed = daemon.client().images.prune()["SpaceReclaimed"]
    assert reclaimed > 3 * MEGABYTE
    after = budget(daemon)["Usage"]
    assert found["image"] - after["image"] >= reclaimed
    assert after["build cache"] == 0
    assert after["cache mount"] == rows_size(daemon) == daemon.client().api.prune_builds()["SpaceReclaimed"]
    assert rows_size(daemon) == 0
    assert budget(daemon)["Usage"]["cache mount"] == 0


def rows_size(daemon: Daemon) -> int:
    return sum(row["Size"] for row in daemon.client().df()["BuildCache"] if not row["Shared"])
