"""``corten watch``: what it asks, what it shows, when it fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from corten.cli.main import main
from fakes.daemon_double import DaemonDouble

ROW: dict[str, Any] = {
    "Id": "a" * 64,
    "Name": "web",
    "Image": "r.example/app:qa",
    "Digest": "sha256:" + "1" * 64,
    "Latest": "sha256:" + "2" * 64,
    "Bad": "",
    "Checked": "0001-01-01T00:00:00Z",
    "Result": "up to date",
}


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DaemonDouble]:
    double = DaemonDouble(tmp_path)
    monkeypatch.setenv("CORTEN_HOST", f"unix://{double.path}")
    monkeypatch.setenv("CORTEN_CONFIG", str(tmp_path))
    yield double
    double.close()


@pytest.mark.parametrize("words", [["watch"], ["watch", "ls"], ["watch", "list"]])
def test_listing(daemon: DaemonDouble, capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    daemon.json("GET", "/corten/watch", {"Interval": 300, "Containers": [ROW | {"Result": "rolled back: x"}]})
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["NAME", "IMAGE", "DIGEST", "LATEST", "CHECKED", "RESULT"]
    assert lines[1].split(maxsplit=5) == ["web", "r.example/app:qa", "1" * 12, "2" * 12, "never", "rolled back: x"]


def test_now(daemon: DaemonDouble, capsys: pytest.CaptureFixture[str]) -> None:
    daemon.json("POST", "/corten/watch/check", {"Containers": [ROW]})
    assert main(["watch", "now", "--retry", "-q", "web", "db"]) == 0
    assert daemon.requests[-1].query == "container=web&container=db&retry=1"
    assert capsys.readouterr().out == "web\n"
    daemon.json("POST", "/corten/watch/check", {"Containers": [ROW, ROW | {"Result": "no answer"}]})
    assert main(["watch", "now"]) == 1, "one is not up to date"


@pytest.mark.parametrize("words", [["watch", "never"], ["watch", "ls", "web"]])
def test_other_words(words: list[str], daemon: DaemonDouble, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 1
    assert "'corten watch' takes 'ls', or 'now'" in capsys.readouterr().err
