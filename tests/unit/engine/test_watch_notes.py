"""What a follower writes down outlives its daemon; the roster's names change hands whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from corten.engine.containers import options
from corten.engine.containers.live import Live, Roster
from corten.engine.containers.model import Container
from corten.engine.watch.credentials import Wallet
from corten.engine.watch.notes import NOTE, Note, Notes, Replacement
from corten.store.db import Database
from corten.store.facts import Facts

WORK = Replacement("a" * 64, "web-watch-1", "app:qa", "sha256:x", "stop-first", {"AutoRemove": False}, {"net": ["a"]})


@pytest.fixture
def facts(tmp_path: Path) -> Facts:
    return Facts(Database.open(tmp_path / "db"))


def test_a_replacement_is_found_again(facts: Facts) -> None:
    notes = Notes(facts)
    notes.write(WORK)
    done = notes.write(replace(WORK, is_committed=True, new="b" * 64))
    assert notes.is_temporary("web-watch-1") and not notes.is_temporary("web")
    assert Notes(facts).under_way() == [done]
    notes.forget(done)
    assert Notes(facts).under_way() == [] and not notes.is_temporary("web-watch-1")


def test_notes_are_kept_while_their_container_is(facts: Facts) -> None:
    notes = Notes(facts)
    assert notes.get("a") == Note()
    notes.put("a", Note("updated", 1.0, "sha256:1"))
    notes.put("b", Note("up to date", 1.0, "sha256:1", bad="sha256:2"))
    notes.put("b", Note("up to date", 2.0, "sha256:1", bad="sha256:2"))
    assert notes.get("b").checked == 2.0
    assert facts.items(NOTE)["b"]["checked"] == 1.0, "a look that finds nothing new is not written"
    notes.keep_only({"b"})
    assert set(facts.items(NOTE)) == {"b"} and Notes(facts).get("b").bad == "sha256:2"


def live(roster: Roster, letter: str) -> Live:
    config = options.read_config({"Cmd": ["sh"]}, {})
    host = options.read_host_config({}, options.Defaults())
    made = Live(Container(letter * 64, f"name-{letter}", 1.0, "i", "busybox", config, host))
    roster.reserve(made.record.name, made.record.id)
    roster.add(made)
    return made


def test_names_are_exchanged(facts: Facts) -> None:
    roster = Roster(facts)
    one, other = live(roster, "a"), live(roster, "b")
    with roster.exchanged(one, other):
        roster.save(one)
        roster.save(other)
    assert roster.find("name-a") is other and roster.find("name-b") is one
    again = Roster(facts)
    again.load()
    assert again.find("name-a").record.id == other.record.id


def test_names_stay_where_the_exchange_fails(facts: Facts) -> None:
    roster = Roster(facts)
    one, other = live(roster, "a"), live(roster, "b")
    with pytest.raises(OSError), roster.exchanged(one, other), facts.transaction():
        roster.save(one)
        raise OSError("disk full")
    assert roster.find("name-a") is one and roster.find("name-b") is other
    again = Roster(facts)
    again.load()
    assert again.find("name-a").record.id == one.record.id


def test_the_wallet_reads_a_clients_file(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    wallet = Wallet(path)
    assert wallet.lookup("r.example").username == ""
    path.write_text(
        '{"auths": {"r.example": {"auth": "bWU6c2VjcmV0"}, "https://index.docker.io/v1/": {"auth": "aHViOng="}}}'
    )
    assert (wallet.lookup("r.example").username, wallet.lookup("r.example").password) == ("me", "secret")
    assert wallet.lookup("docker.io").username == "hub"
    assert wallet.lookup("other.example").username == ""
    for broken in ("", "[]", '{"auths": 3}', '{"auths": {"r.example": 3}}', '{"credsStore": "pass"}'):
        path.write_text(broken)
        assert wallet.lookup("r.example").username == ""
