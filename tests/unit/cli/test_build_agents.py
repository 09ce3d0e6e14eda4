"""``corten build --ssh``: agents that run, and agents of its own for keys in files."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from corten.cli.builds.agents import offered
from corten.errors import Invalid, NotFound

needs_openssh = pytest.mark.skipif(not shutil.which("ssh-add"), reason="openssh-client is not installed")


def make_key(path: Path) -> str:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    return Path(f"{path}.pub").read_text().split()[1]


@needs_openssh
def test_keys_get_an_agent_for_the_length_of_the_build(tmp_path: Path) -> None:
    one, two = make_key(tmp_path / "one"), make_key(tmp_path / "two")
    with offered([f"git={tmp_path}/one,{tmp_path}/two"], is_local=True) as found:
        listed = subprocess.run(
            ["ssh-add", "-L"],
            env=os.environ | {"SSH_AUTH_SOCK": found["git"]},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert one in listed and two in listed
    assert not Path(found["git"]).parent.exists()


@needs_openssh
def test_what_is_no_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "no-key").write_text("no key")
    (tmp_path / "no-key").chmod(0o600)
    with pytest.raises(Invalid, match="ssh-add did not take"), offered([f"default={tmp_path}/no-key"], is_local=True):
        pass


def test_keys_need_openssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text("key")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Invalid, match="openssh-client"), offered([f"default={tmp_path}/key"], is_local=True):
        pass


def test_a_running_agent_is_handed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = f"{tmp_path}/agent"
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(path)
        monkeypatch.setenv("SSH_AUTH_SOCK", path)
        with offered(["default", f"other={path}"], is_local=True) as found:
            assert found == {"default": path, "other": path}
        with pytest.raises(Invalid, match="only single socket"), offered([f"x={path},{path}"], is_local=True):
            pass
        with pytest.raises(Invalid, match="daemon on this machine"), offered(["default"], is_local=False):
            pass
        with pytest.raises(Invalid, match="duplicate ID"), offered(["default", f"={path}"], is_local=True):
            pass


def test_what_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    with pytest.raises(Invalid, match="make sure SSH_AUTH_SOCK is set"), offered(["default"], is_local=True):
        pass
    with pytest.raises(NotFound, match="failed to open"), offered(["default=/nonexistent/key"], is_local=True):
        pass
