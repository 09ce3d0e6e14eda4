"""Restart policies, health verdicts, status words, records."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from corten.engine.containers import bundle, health, listing, mounts, options, policy
from corten.engine.containers.archive import go_mode
from corten.engine.containers.changes import without_etc
from corten.engine.containers.model import Container, HealthRecord, MountPoint, State
from corten.engine.containers.status import Status
from corten.errors import Invalid


def record(**host: object) -> Container:
    config = options.read_config({"Cmd": ["sh"], "Labels": {"l": "1"}, "Env": ["E=2"]}, {})
    return Container("ab" * 32, "n", 1000.0, "i", "busybox", config, options.read_host_config(host, options.Defaults()))


@pytest.mark.parametrize(
    ("name", "retries", "code", "count", "by_hand", "again"),
    [
        ("no", 0, 1, 0, False, False),
        ("always", 0, 0, 9, False, True),
        ("always", 0, 0, 9, True, False),
        ("unless-stopped", 0, 0, 0, False, True),
        ("on-failure", 0, 1, 99, False, True),
        ("on-failure", 0, 0, 0, False, False),
        ("on-failure", 2, 1, 1, False, True),
        ("on-failure", 2, 1, 2, False, False),
    ],
)
def test_restart_policies(name: str, retries: int, code: int, count: int, by_hand: bool, again: bool) -> None:
    made = record(RestartPolicy={"Name": name, "MaximumRetryCount": retries})
    made.restart_count, made.has_been_stopped_by_hand = count, by_hand
    assert policy.restarts(made, code) is again


def test_back_off_doubles_to_a_minute_and_begins_anew() -> None:
    delay = 0.0
    delays = [delay := policy.delay_after(delay, 0.1) for _ in range(12)]
    assert delays[:3] == [0.1, 0.2, 0.4]
    assert delays[-1] == 60.0
    assert policy.delay_after(60.0, 11.0) == 0.1


def test_after_a_reboot() -> None:
    made = record(RestartPolicy={"Name": "unless-stopped"})
    assert not policy.restarts_with_daemon(made)
    made.has_been_started = True
    assert policy.restarts_with_daemon(made)
    made.has_been_stopped_by_hand = True
    assert not policy.restarts_with_daemon(made)


def test_health_verdicts() -> None:
    check = health.Check.parse({"Healthcheck": {"Test": ["CMD-SHELL", "x"], "Retries": 2, "Interval": 10**9}})
    assert check is not None and check.args == ("/bin/sh", "-c", "x") and check.interval == 1.0
    kept = HealthRecord()
    bad, good = {"ExitCode": 1}, {"ExitCode": 0}
    assert health.judge(kept, bad, check, True) == "starting"
    assert kept.failing_streak == 0  # docker: failures in the start period do not count
    assert health.judge(kept, bad, check, False) == "starting"
    assert health.judge(kept, bad, check, False) == "unhealthy"
    assert health.judge(kept, good, check, False) == "healthy"
    assert kept.failing_streak == 0
    for _ in range(9):
        health.judge(kept, good, check, False)
    assert len(kept.log) == 5


def test_no_probe() -> None:
    assert health.Check.parse({"Healthcheck": {"Test": ["NONE"]}}) is None
    assert health.Check.parse({}) is None


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (State(), "Created"),
        (State(Status.RUNNING, started_at=999.5), "Up Less than a second"),
        (State(Status.RUNNING, started_at=880.0), "Up 2 minutes"),
        (State(Status.PAUSED, started_at=990.0), "Up 10 seconds (Paused)"),
        (State(Status.RUNNING, started_at=990.0, health=HealthRecord()), "Up 10 seconds (health: starting)"),
        (State(Status.EXITED, exit_code=3, finished_at=-10000.0), "Exited (3) 3 hours ago"),
        (State(Status.RESTARTING, exit_code=1, finished_at=999.0), "Restarting (1) 1 second ago"),
    ],
)
def test_status_words(state: State, words: str) -> None:
    made = record()
    made.state = state
    assert listing.status_text(made, 1000.0) == words


def test_records_survive_json() -> None:
    made = record(Binds=["/a:/b"])
    made.mounts = mounts.collect(made.config, made.host_config, lambda _: [])
    made.mounts.append(MountPoint("tmpfs", "/t", options=("size=1",)))
    made.state = State(Status.EXITED, exit_code=2, health=HealthRecord("healthy"))
    assert Container.parse(json.loads(json.dumps(made.to_json()))) == made


def test_log_options() -> None:
    path = Path("/b")
    found = bundle.shim_options(
        record(LogConfig={"Type": "json-file", "Config": {"max-size": "10k", "labels": "l", "env": "E"}}), path
    )
    assert (found.log_max_size, found.log_max_file, found.log_attrs) == (10240, 5, {"l": "1", "E": "2"})
    assert bundle.shim_options(record(LogConfig={"Type": "none"}), path).log_path is None
    with pytest.raises(Invalid):
        bundle.shim_options(record(LogConfig={"Type": "json-file", "Config": {"max-size": "x"}}), path)


def test_gos_file_modes() -> None:
    assert go_mode(0o040755) == 1 << 31 | 0o755
    assert go_mode(0o104755) == 1 << 23 | 0o755
    assert go_mode(0o120777) == 1 << 27 | 0o777


def test_generated_files_are_no_changes() -> None:
    generated = [{"Path": "/etc", "Kind": 0}, {"Path": "/etc/hosts", "Kind": 1}]
    assert without_etc(generated) == []
    assert without_etc([{"Path": path, "Kind": 1} for path in ("/dev", "/proc", "/sys", "/etc/mtab")]) == []
    assert without_etc([{"Path": "/dev", "Kind": 0}]) == [{"Path": "/dev", "Kind": 0}]
    assert without_etc([*generated, {"Path": "/etc/x", "Kind": 1}]) == [
        {"Path": "/etc", "Kind": 0},
        {"Path": "/etc/x", "Kind": 1},
    ]
