"""Which runtimes there are: names, the daemon's configuration, and what `runc` means with and without one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from corten.engine.containers import options, runtimes
from corten.engine.containers.runtimes import External, Runtimes
from corten.errors import Invalid

REGISTERED = Runtimes({"runc": External("/usr/sbin/runc"), "slow": External("/opt/slow", ("--a", "-b"))})


def configured(entries: dict[str, Any], default: str = "", *, runc: str | None = None) -> Runtimes:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtimes.shutil, "which", lambda name, path=None: runc if name == "runc" else None)
        return runtimes.configured(entries, default)


def test_who_names_nothing_gets_our_own() -> None:
    assert REGISTERED.choose({"Runtime": "", "UsernsMode": ""}) == "corten"
    assert REGISTERED.find("corten") is None and REGISTERED.find("") is None


def test_what_is_registered_is_used() -> None:
    assert REGISTERED.find("slow") == External("/opt/slow", ("--a", "-b"))
    assert REGISTERED.call("slow", Path("/run/x")) == {
        "name": "slow",
        "path": "/opt/slow",
        "args": ["--a", "-b"],
        "root": "/run/x/runtimes/slow",
        "init": REGISTERED.call("runc", Path("/run/x"))["init"],  # type: ignore[index]
    }
    with pytest.raises(Invalid, match="unknown or invalid runtime name: fast"):
        REGISTERED.find("fast")


@pytest.mark.parametrize("name", ["runc", "io.containerd.runc.v2"])
def test_runc_is_runc_where_there_is_one_and_else_a_name_for_ours(name: str) -> None:
    there, nowhere = configured({}, runc="/usr/sbin/runc"), configured({})
    assert there.find(name) == External("/usr/sbin/runc") and there.warnings(name) == []
    assert nowhere.find(name) is None
    assert nowhere.warnings(name) == [f"The runtime {name} is not used: the container runs by Corten's own."]
    assert there.describe()["runc"] == {"path": "/usr/sbin/runc"} and nowhere.describe()["runc"] == {"path": "corten"}


def test_an_explicit_runc_wins_over_the_one_that_is_found() -> None:
    found = configured({"runc": {"path": "/opt/runc", "runtimeArgs": ["--x"]}}, runc="/usr/sbin/runc")
    assert found.find("runc") == External("/opt/runc", ("--x",))
    assert found.describe()["runc"] == {"path": "/opt/runc", "runtimeArgs": ["--x"]}


def test_defaults() -> None:
    assert configured({}).default == "corten"
    assert configured({}, "runc").default == "corten"  # as it is today on hosts without it
    assert configured({}, "runc", runc="/usr/sbin/runc").default == "runc"
    assert configured({"x": {"path": "/x"}}, "x").choose({"Runtime": "", "UsernsMode": ""}) == "x"
    with pytest.raises(Invalid, match="specified default runtime 'y' does not exist"):
        configured({"x": {"path": "/x"}}, "y")


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({}, "path is required"),
        ({"path": "/x", "runtimeArgs": "no"}, "list of strings"),
        ({"runtimeType": "io.containerd.kata.v2"}, "containerd shims"),
        ({"path": "/x", "options": {"SystemdCgroup": True}}, "containerd shims"),
        ({"path": "/x", "colour": 1}, "unknown field colour"),
        ("x", "not an object"),
    ],
    ids=str,
)
def test_entries_that_make_no_sense(entry: Any, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        configured({"x": entry})


@pytest.mark.parametrize("name", ["corten", "", "../x", ".."])
def test_names_that_cannot_be_given(name: str) -> None:
    with pytest.raises(Invalid, match="runtime name"):
        configured({name: {"path": "/x"}})


def test_docker_engines_way_to_name_a_binary() -> None:
    entry = {"runtimeType": "io.containerd.runc.v2", "options": {"BinaryName": "/usr/bin/crun"}}
    assert configured({"crun": entry}).find("crun") == External("/usr/bin/crun")


def test_flags() -> None:
    assert runtimes.parse_flags(["a=/a", "b = /b"]) == {"a": {"path": "/a"}, "b": {"path": "/b"}}
    for texts in (["a"], ["=x"], ["a=/a", "a=/b"]):
        with pytest.raises(Invalid, match="runtime"):
            runtimes.parse_flags(texts)


def test_users_are_mapped_by_our_own_only() -> None:
    defaults = options.Defaults(runtimes=REGISTERED)
    assert options.read_host_config({"Runtime": "slow"}, defaults)["Runtime"] == "slow"
    with pytest.raises(Invalid, match="only Corten's own maps users"):
        options.read_host_config({"Runtime": "slow", "UsernsMode": "auto"}, defaults)
