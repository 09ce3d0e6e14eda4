"""Where the daemon is: addresses, their refusals, and who wins."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from corten.cli import connect, flags
from corten.client import address, contexts
from corten.client.address import Address
from corten.errors import Invalid


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("unix:///tmp/x.sock", "unix:///tmp/x.sock"),
        ("unix://", "unix:///run/corten/corten.sock"),
        ("tcp://10.0.0.1:2375", "tcp://10.0.0.1:2375"),
        ("tcp://host", "tcp://host:2375"),
        (":2375", "tcp://localhost:2375"),
        ("tcp://[::1]:99", "tcp://[::1]:99"),
        ("https://host", "tcp://host:2376"),
        ("ssh://me@host:2222", "ssh://me@host:2222"),
        ("ssh://host/run/other.sock", "ssh://host/run/other.sock"),
    ],
)
def test_parse(text: str, printed: str) -> None:
    assert str(Address.parse(text)) == printed


@pytest.mark.parametrize(
    "text",
    ["npipe:////./pipe/x", "tcp://host:x", "tcp://host:70000", "tcp://[::1", "ssh://u:p@host", "ssh://", "ssh://-oX"],
)
def test_refused(text: str) -> None:
    with pytest.raises(Invalid):
        Address.parse(text)


def where(*words: str) -> Address:
    options, _, _ = flags.parse(words, flags.parse_table(connect.GLOBAL_FLAGS), interspersed=False)
    return connect.Connection(options).where()


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in os.environ:
        if name.startswith(("CORTEN_", "DOCKER_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("CORTEN_CONFIG", str(tmp_path))
    return tmp_path


def test_default_is_our_own_socket() -> None:
    assert where() == Address("unix", path="/run/corten/corten.sock", is_default=True)


def test_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    contexts.put(str(tmp_path), contexts.Context("far", "tcp://far:1"))
    contexts.use(str(tmp_path), "far")
    assert str(where()) == "tcp://far:1"
    monkeypatch.setenv("DOCKER_HOST", "unix:///d")
    assert where().path == "/d"
    monkeypatch.setenv("CORTEN_HOST", "unix:///c")
    assert where().path == "/c"
    assert str(where("--context", "far")) == "tcp://far:1"
    assert where("-H", "unix:///h").path == "/h"
    with pytest.raises(Invalid, match="both --host and --context"):
        where("-H", "unix:///h", "-c", "far")


def test_tls_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()
    monkeypatch.setenv("DOCKER_HOST", "tcp://host:2376")
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    assert where().tls == address.Tls(ca=str(tmp_path / "ca.pem"))
    assert where("-H", "tcp://h", "--tls").port == 2376


def test_contexts_are_docker_s_own_layout(tmp_path: Path) -> None:
    where_to = str(tmp_path)
    (tmp_path / "key").write_text("k")
    context = contexts.Context("a.b", "tcp://x:1", "words")
    contexts.put(where_to, context, files={"key.pem": str(tmp_path / "key")})
    read = contexts.get(where_to, "a.b")
    assert read == context._replace(folder=read.folder)
    assert (Path(read.folder) / "key.pem").read_text() == "k"
    assert contexts.all_of(where_to) == [read]
    contexts.remove(where_to, "a.b")
    assert contexts.all_of(where_to) == []
    for bad in ("default", "", "../x", "a b"):
        with pytest.raises(Invalid):
            contexts.put(where_to, contexts.Context(bad, "tcp://x:1"))
