"""dockerd's flags and daemon.json as one value, and where the daemon may listen."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from corten.daemon import config, listen
from corten.daemon.config import Config
from corten.errors import CortenError, Denied, Invalid


def test_flags_and_file_add_up(tmp_path: Path) -> None:
    path = tmp_path / "daemon.json"
    path.write_text(json.dumps({"labels": ["a=1"], "data-root": "/d", "log-opts": {"max-size": "1m"}, "debug": True}))
    found, only_validate = config.parse(
        [
            "--config-file",
            str(path),
            "--label",
            "b=2",
            "-H",
            "tcp://127.0.0.1:1",
            "--default-ulimit",
            "nofile=1:2",
            "--validate",
        ]
    )
    assert only_validate
    assert found.labels == ("a=1", "b=2")
    assert found.data_root == Path("/d") and found.debug
    assert found.hosts == ("tcp://127.0.0.1:1",)
    assert found.default_ulimits["nofile"] == {"Name": "nofile", "Soft": 1, "Hard": 2}


def test_one_thing_twice_is_refused() -> None:
    with pytest.raises(Invalid, match="specified both as a flag and in the configuration file: bip"):
        config.merge({"bip": "10.0.0.1/24"}, {"bip": "10.0.1.1/24"})


@pytest.mark.parametrize("text", ['{"nope": 1}', "[]", "{", '{"debug": "yes"}', '{"labels": "x"}'])
def test_bad_files(tmp_path: Path, text: str) -> None:
    path = tmp_path / "daemon.json"
    path.write_text(text)
    with pytest.raises(Invalid):
        config.read_file(path, required=True)


def test_a_file_that_must_be_there(tmp_path: Path) -> None:
    assert config.read_file(tmp_path / "none", required=False) == {}
    with pytest.raises(Invalid):
        config.read_file(tmp_path / "none", required=True)


@pytest.mark.parametrize(
    ("text", "size"), [("64m", 64 << 20), ("1.5g", 3 << 29), ("10", 10), ("2kb", 2048), ("1MiB", 1 << 20)]
)
def test_sizes(text: str, size: int) -> None:
    assert config.size(text) == size


def test_tcp_without_tls_is_for_loopback_only() -> None:
    with pytest.raises(Denied, match="without TLS"):
        listen.open_all(Config(hosts=("tcp://0.0.0.0:0",)))
    (listener,) = listen.open_all(Config(hosts=("tcp://127.0.0.1:0",)))
    listener.socket.close()


def test_a_socket_is_private_from_its_first_moment(tmp_path: Path) -> None:
    path = tmp_path / "s"
    (listener,) = listen.open_all(Config(hosts=(f"unix://{path}",)))
    try:
        assert path.stat().st_mode & 0o777 == 0o660
        with pytest.raises(CortenError, match="another daemon is listening"):
            listen.open_all(Config(hosts=(f"unix://{path}",)))
    finally:
        listener.socket.close()
    # A socket that nobody answers is a leftover.
    (again,) = listen.open_all(Config(hosts=(f"unix://{path}",)))
    again.socket.close()


def test_one_bad_host_opens_none(tmp_path: Path) -> None:
    with pytest.raises(Invalid):
        listen.open_all(Config(hosts=(f"unix://{tmp_path}/s", "npipe://x")))


def test_tls_needs_its_files() -> None:
    with pytest.raises(Invalid, match="TLS needs"):
        listen.open_all(replace(Config(), hosts=("tcp://127.0.0.1:0",), tls=True))
