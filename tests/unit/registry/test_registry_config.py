"""The registry's options: what is told is kept, what is misspelt is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from corten.errors import Invalid
from corten.registry.config import Options, load, parse, parse_size

EVERYTHING = """
addr = "[::1]:5443"
root = "/srv/registry"
processes = 2
read_only = true
log = "json"
[tls]
certificate = "/c.pem"
key = "/k.pem"
[auth]
htpasswd = "/etc/htpasswd"
anonymous_pull = true
token = true
lifetime = 60
[[access]]
repositories = ["team/**"]
users = ["alice", "bob"]
actions = ["pull", "push"]
[[quota]]
repositories = ["**"]
size = "1.5GiB"
[[webhook]]
url = "https://hooks.example/x"
headers = { Authorization = "Bearer x" }
[upstream]
url = "https://registry-1.docker.io"
[collect]
every = 3600
"""


def test_everything(tmp_path: Path) -> None:
    path = tmp_path / "registry.toml"
    path.write_text(EVERYTHING)
    options = load(path)
    assert options.listen() == ("::1", 5443)
    assert options.auth is not None
    assert options.auth.lifetime == 60.0
    assert options.access[0].users == ("alice", "bob")
    assert options.quota[0].limit == 3 * 2**29
    assert options.webhook[0].headers == {"Authorization": "Bearer x"}
    assert options.collect.every == 3600


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"adr": "x"}, "unknown key 'adr'"),
        ({"auth": {"htpaswd": "x"}}, "auth: unknown key"),
        ({"auth": {}}, "htpasswd"),
        ({"addr": "nowhere"}, "invalid address"),
        ({"addr": "a:99999"}, "invalid address"),
        ({"addr": 5}, "expected str"),
        ({"processes": True}, "expected int"),
        ({"read_only": "yes"}, "expected bool"),
        ({"quota": [{"repositories": ["x"], "size": "lots"}]}, "invalid size"),
        ({"quota": {"size": "1"}}, "expected [[quota]]"),
        ({"access": [{"repositories": [], "users": [], "actions": []}]}, "need [auth]"),
        (
            {"auth": {"htpasswd": "x"}, "access": [{"repositories": [], "users": [], "actions": ["psuh"]}]},
            "actions are",
        ),
        ({"tls": "x"}, "expected a table"),
    ],
)
def test_mistakes_are_named(body: dict[str, object], words: str) -> None:
    with pytest.raises(Invalid, match=words.replace("[", r"\[")):
        parse(body)


def test_missing_and_broken_files(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="no such file"):
        load(tmp_path / "none")
    (tmp_path / "bad").write_text("x = [")
    with pytest.raises(Invalid, match="bad"):
        load(tmp_path / "bad")


def test_sizes() -> None:
    assert [parse_size(text) for text in ("7", "2k", "1MB", "1MiB", "3 gb")] == [7, 2000, 10**6, 2**20, 3 * 10**9]
    for bad in ("", "x", "1x", "-1", "1i"):
        with pytest.raises(Invalid):
            parse_size(bad)


def test_defaults_stand() -> None:
    assert Options().listen() == ("127.0.0.1", 5000)
