"""Passwords: the file, helper programs, headers."""

from __future__ import annotations

import base64
import json
import os
import stat
from pathlib import Path

import pytest

from corten.client import credentials
from corten.client.config import Config
from corten.client.credentials import HUB, Credential
from corten.errors import Invalid

HELPER = """#!/bin/sh
case "$1" in
  get) read server; test -f "$STORE" && cat "$STORE" || { echo credentials not found in native keychain; exit 1; };;
  store) cat > "$STORE";;
  erase) rm -f "$STORE";;
  list) echo '{"reg.example":"me"}';;
esac
"""


def test_stored_in_the_file(tmp_path: Path) -> None:
    config = Config.load(str(tmp_path))
    assert credentials.store(config, Credential("reg:5000", "me", "pä:ss"))
    path = tmp_path / "config.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = Config.load(str(tmp_path))
    assert credentials.lookup(again, "reg:5000") == Credential("reg:5000", "me", "pä:ss")
    assert credentials.lookup(again, "https://reg:5000/v2/").username == "me"
    assert credentials.lookup(again, "other") == Credential("other")
    assert credentials.erase(again, "reg:5000") and not credentials.erase(again, "reg:5000")


def test_the_rest_of_the_file_is_kept(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"psFormat": "x", "auths": {"https://index.docker.io/v1/": {}}}')
    credentials.store(Config.load(str(tmp_path)), Credential("a", "b", "c"))
    data = json.loads((tmp_path / "config.json").read_text())
    assert data["psFormat"] == "x" and set(data["auths"]) == {HUB, "a"}


@pytest.mark.parametrize(
    ("image", "registry"),
    [
        ("busybox", "docker.io"),
        ("a/b:c", "docker.io"),
        ("localhost/x", "localhost"),
        ("h:5000/x", "h:5000"),
        ("a.b/c/d@sha256:1", "a.b"),
        ("Upper/x", "Upper"),
    ],
)
def test_registry_of(image: str, registry: str) -> None:
    assert credentials.registry_of(image) == registry


def test_hub_is_filed_under_its_old_address() -> None:
    assert credentials.registry_key("") == credentials.registry_key("docker.io") == HUB


def test_header() -> None:
    header = Credential("s", "me", "??>>").header()
    assert json.loads(base64.urlsafe_b64decode(header)) == {"username": "me", "password": "??>>", "serveraddress": "s"}


def test_a_helper_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "docker-credential-test"
    program.write_text(HELPER)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("STORE", str(tmp_path / "stored"))
    (tmp_path / "config.json").write_text('{"credsStore": "test"}')
    config = Config.load(str(tmp_path))
    assert credentials.lookup(config, "reg.example").password == ""
    assert not credentials.store(config, Credential("reg.example", "me", "secret"))
    assert "secret" not in (tmp_path / "config.json").read_text()
    assert credentials.lookup(config, "reg.example").password == "secret"
    assert credentials.everything(config)["reg.example"]["username"] == "me"
    assert credentials.erase(config, "reg.example")
    assert credentials.lookup(config, "reg.example").password == ""


def test_broken_files(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(Invalid, match="Error loading config file"):
        Config.load(str(tmp_path))
    (tmp_path / "config.json").write_text('{"auths": {"r": {"auth": "!"}}}')
    with pytest.raises(Invalid):
        credentials.lookup(Config.load(str(tmp_path)), "r")
