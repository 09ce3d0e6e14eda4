"""Options of a frontend, both ways."""

from __future__ import annotations

import pytest

from corten.engine.builds.buildkit.options import CLIENT, attributes, read
from corten.engine.builds.options import BuildOptions
from corten.errors import CortenError, Invalid, NotImplementedYet
from corten.spec.platform import host

NOBODY: frozenset[str] = frozenset()


def test_what_buildx_sends() -> None:
    sent = {
        "filename": "Dockerfile.prod",
        "build-arg:A": "1",
        "build-arg:EMPTY": "",
        "label:l": "v",
        "context:other": "local:other",
        "local-sessionid:context": "shared",
        "no-cache": "stage,1",
        "image-resolve-mode": "pull",
        "target": "t",
        "platform": str(host()),
        "add-hosts": "a=1.2.3.4,b=::1",
        "shm-size": "1024",
        "ulimit": "nofile=10:20,nproc=5",
        "cgroup-parent": "/x",
        "cache-imports": '[{"Type":"registry","Attrs":{"ref":"r/x"}},{"Type":"local","Attrs":{"src":"d"}}]',
        "cache-from": "y",
    }
    found = read("dockerfile.v0", sent, NOBODY)
    options = found.options
    assert (found.context, found.dockerfile, found.remote) == ("context", "dockerfile", "")
    assert found.named == {"other": "local:other"} and found.sessions == {"context": "shared"}
    assert options.build_args == {"A": "1", "EMPTY": ""} and options.labels == {"l": "v"}
    assert (options.dockerfile, options.target, options.platform) == ("Dockerfile.prod", "t", "")
    assert (options.no_cache, options.no_cache_filter, options.pull) == (False, ("stage", "1"), True)
    assert options.extra_hosts == ("a:1.2.3.4", "b:::1") and options.shm_size == 1024
    assert [dict(each) for each in options.ulimits] == [
        {"Name": "nofile", "Soft": 10, "Hard": 20},
        {"Name": "nproc", "Soft": 5, "Hard": 5},
    ]
    assert options.cache_from == ("y",) and not options.apply_ignore
    assert [(entry.type, entry.attrs) for entry in found.cache_imports] == [
        ("registry", {"ref": "r/x"}),
        ("local", {"src": "d"}),
    ]


def test_platforms() -> None:
    found = read("dockerfile.v0", {"platform": "linux/amd64, linux/arm64,linux/x86_64"}, NOBODY)
    assert found.platforms == ("linux/amd64", "linux/arm64")
    assert read("dockerfile.v0", {"platform": "linux/s390x"}, NOBODY).platforms == ()
    one = read("dockerfile.v0", {"platform": "linux/s390x", "multi-platform": "true"}, NOBODY)
    assert one.platforms == ("linux/s390x",)


def test_no_cache_and_networks() -> None:
    assert read("dockerfile.v0", {"no-cache": ""}, NOBODY).options.no_cache
    assert read("dockerfile.v0", {"force-network-mode": "none"}, NOBODY).options.network == "none"
    allowed = frozenset({"network.host"})
    assert read("dockerfile.v0", {"force-network-mode": "host"}, allowed).options.network == "host"


def test_remote_contexts() -> None:
    found = read("dockerfile.v0", {"context": "https://x/y.git"}, NOBODY)
    assert (found.remote, found.dockerfile) == ("https://x/y.git", "")
    own = read("dockerfile.v0", {"context": "https://x/y.git", "dockerfilekey": "dockerfile"}, NOBODY)
    assert own.dockerfile == "dockerfile"


@pytest.mark.parametrize(
    ("frontend", "options", "error"),
    [
        ("other.v0", {}, NotImplementedYet),
        ("gateway.v0", {"source": "tonistiigi/other:1"}, NotImplementedYet),
        ("dockerfile.v0", {"attest:sbom": ""}, NotImplementedYet),
        ("dockerfile.v0", {"force-network-mode": "host"}, Invalid),
        ("dockerfile.v0", {"force-network-mode": "x"}, Invalid),
        ("dockerfile.v0", {"shm-size": "-1"}, Invalid),
        ("dockerfile.v0", {"add-hosts": "a"}, Invalid),
        ("dockerfile.v0", {"add-hosts": "a=b"}, Invalid),
        ("dockerfile.v0", {"ulimit": "nofile=x"}, Invalid),
        ("dockerfile.v0", {"cache-imports": "{"}, Invalid),
        ("dockerfile.v0", {"cache-imports": '[{"Type":"registry"}]'}, Invalid),
        ("dockerfile.v0", {"cache-imports": '[{"Type":"gha","Attrs":{}}]'}, NotImplementedYet),
    ],
)
def test_refusals(frontend: str, options: dict[str, str], error: type[CortenError]) -> None:
    with pytest.raises(error):
        read(frontend, options, NOBODY)


def test_syntax_images_are_the_frontend() -> None:
    for source in ("docker/dockerfile:1", "docker/dockerfile", "docker.io/docker/dockerfile:1.7@sha256:0"):
        read("gateway.v0", {"source": source}, NOBODY)


def test_parameters_of_a_build_and_back() -> None:
    options = BuildOptions(
        dockerfile="D",
        remote=CLIENT,
        build_args={"A": "1", "UNSET": None, "EMPTY": ""},
        labels={"l": ""},
        no_cache=True,
        pull=True,
        target="t",
        extra_hosts=("a:1.2.3.4", "b:::1"),
        shm_size=5,
        ulimits=({"Name": "nofile", "Soft": 1, "Hard": 2},),
        cache_from=("x",),
    )
    again = read("dockerfile.v0", attributes(options), NOBODY)
    found = again.options
    assert again.remote == "" and found.build_args == {"A": "1", "EMPTY": ""}
    for name in ("dockerfile", "labels", "no_cache", "pull", "target", "extra_hosts", "shm_size", "cache_from"):
        assert getattr(found, name) == getattr(options, name), name
    assert [dict(each) for each in found.ulimits] == [dict(each) for each in options.ulimits]
    with pytest.raises(Invalid, match="not supported by buildkit"):
        attributes(BuildOptions(network="mine"))
