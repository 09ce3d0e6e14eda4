"""The daemon's options about following images."""

from __future__ import annotations

from pathlib import Path

import pytest

from corten.daemon import config
from corten.errors import Invalid


@pytest.mark.parametrize(("text", "seconds"), [("5m", 300), ("90", 90), ("1.5", 1.5), ("0", 0), ("1h30m", 5400)])
def test_durations(text: str, seconds: float) -> None:
    assert config.seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "-5s", "soon", "5 m", "1.2.3"])
def test_no_durations(text: str) -> None:
    with pytest.raises(Invalid):
        config.seconds(text)


def test_from_flags_and_file(tmp_path: Path) -> None:
    file = tmp_path / "daemon.json"
    file.write_text('{"watch-interval": "30s", "watch-grace": 2, "watch-token-file": "/t", "registry-config": "/c"}')
    found, _ = config.parse(["--config-file", str(file), "--watch-listen", ":2380"])
    assert (found.watch_interval, found.watch_grace, found.watch_listen) == (30.0, 2.0, ":2380")
    assert (found.watch_token_file, found.registry_config) == (Path("/t"), Path("/c"))


def test_webhooks_need_a_token() -> None:
    with pytest.raises(Invalid, match="watch-token-file"):
        config.merge({"watch_listen": "0.0.0.0:2380"}, {})
