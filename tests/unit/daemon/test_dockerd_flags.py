"""What dockerd takes and Corten has no setting for is taken or refused with a reason, by flag and by file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from corten.daemon import config, dockerd_flags
from corten.errors import Invalid


@pytest.mark.parametrize(
    "arguments",
    [
        ["--iptables"],
        ["--iptables=true"],
        ["--experimental=false"],
        ["--containerd", "/run/x.sock"],
        ["--exec-opt", "native.cgroupdriver=cgroupfs"],
    ],
    ids=str,
)
def test_what_is_so_anyway_is_taken(arguments: list[str]) -> None:
    assert config.parse([*arguments, "--validate"])[1]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--iptables=false"], "only true"),
        (["--exec-opt", "native.cgroupdriver=systemd"], "cgroupfs"),
        (["--userns-remap", "default"], "--userns-default auto"),
        (["--authorization-plugin", "x"], "plugins"),
        (["--selinux-enabled"], "only false"),
    ],
    ids=str,
)
def test_the_rest_is_refused_with_a_reason(arguments: list[str], reason: str) -> None:
    with pytest.raises(Invalid, match=reason):
        config.parse(arguments)


def test_the_file_likewise(tmp_path: Path) -> None:
    path = tmp_path / "daemon.json"
    path.write_text(json.dumps({"iptables": True, "exec-opts": ["native.cgroupdriver=cgroupfs"], "features": {"a": 1}}))
    assert config.read_file(path, required=True) == {}
    path.write_text(json.dumps({"selinux-enabled": True}))
    with pytest.raises(Invalid, match="only false"):
        config.read_file(path, required=True)


def test_runtimes_by_flag_and_by_file(tmp_path: Path) -> None:
    path = tmp_path / "daemon.json"
    path.write_text(json.dumps({"runtimes": {"x": {"path": "/bin/x"}}, "default-runtime": "x"}))
    found, _ = config.parse(["--config-file", str(path)])
    assert (found.runtimes, found.default_runtime) == ({"x": {"path": "/bin/x"}}, "x")
    found, _ = config.parse(["--add-runtime", "y=/bin/y", "--add-runtime", "z=/bin/z", "--default-runtime", "z"])
    assert found.runtimes == {"y": {"path": "/bin/y"}, "z": {"path": "/bin/z"}}
    with pytest.raises(Invalid, match="both as a flag and in the configuration file: runtimes"):
        config.parse(["--config-file", str(path), "--add-runtime", "y=/bin/y"])
    with pytest.raises(Invalid, match="default runtime 'w' does not exist"):
        config.parse(["--default-runtime", "w"])
    path.write_text(json.dumps({"runtimes": {"x": {"runtimeType": "io.containerd.kata.v2"}}}))
    with pytest.raises(Invalid, match="containerd shims"):
        config.parse(["--config-file", str(path)])


def test_every_refusal_has_a_reason() -> None:
    assert all(reason and not reason.endswith(".") for reason in dockerd_flags.REFUSED.values())
    assert not set(dockerd_flags.ACCEPTED) & set(dockerd_flags.REFUSED)
