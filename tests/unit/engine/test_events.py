"""The bus of events: filters, replay over restarts, listeners that leave."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from corten.api.filters import Filters
from corten.engine.events import Event, Events, keeps
from corten.server.routes.events import _nanoseconds

CONTAINER = Event(
    "container", "exec_create: sh -c x", "a" * 64, {"image": "busybox:latest", "name": "web", "l": "1"}, 1
)


@pytest.mark.parametrize(
    ("filters", "kept"),
    [
        ({}, True),
        ({"type": ("container",)}, True),
        ({"type": ("image",)}, False),
        ({"event": ("exec_create",)}, True),
        ({"event": ("exec_start",)}, False),
        ({"container": ("web",)}, True),
        ({"container": ("aaaaaa",)}, True),
        ({"container": ("other",)}, False),
        ({"image": ("busybox",)}, True),
        ({"label": ("l=1",)}, True),
        ({"label": ("l=2",)}, False),
        ({"volume": ("web",)}, False),
    ],
)
def test_filters(filters: dict[str, tuple[str, ...]], kept: bool) -> None:
    assert keeps(Filters(filters), CONTAINER) is kept


def test_a_network_event_names_its_container() -> None:
    event = Event("network", "connect", "n", {"container": "c1", "name": "bridge"}, 1)
    assert keeps(Filters({"container": ("c1",)}), event)
    assert not keeps(Filters({"container": ("c2",)}), event)


def test_json_has_the_old_fields_and_reads_back() -> None:
    body = CONTAINER.to_json()
    assert (body["status"], body["id"], body["from"]) == (CONTAINER.action, CONTAINER.actor_id, "busybox:latest")
    assert Event.parse(body) == CONTAINER


def test_replay_survives_a_restart_and_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    first = Events(path)
    first.open()
    for name in "abc":
        first.publish("container", "start", name)
    first.close()
    with path.open("a") as file:
        file.write('{"Type": "cont')

    async def replay() -> list[str]:
        again = Events(path)
        again.open()
        subscription = again.subscribe(since_ns=0, until_ns=time.time_ns())
        found = [event.actor_id async for event in subscription]
        again.close()
        return found

    assert asyncio.run(replay()) == ["a", "b", "c"]


def test_a_listener_misses_nothing_from_the_moment_it_subscribes() -> None:
    async def listen() -> list[str]:
        events = Events(None)
        events.publish("container", "start", "old")
        subscription = events.subscribe(Filters({"event": ("start",)}))
        events.publish("container", "start", "new")
        events.publish("container", "die", "new")
        subscription.close()
        return [event.actor_id async for event in subscription]

    assert asyncio.run(listen()) == ["new"]


def test_times_of_one_instant_still_grow() -> None:
    events = Events(None)
    moments = [events.publish("container", "start", "x").time_ns for _ in range(100)]
    assert moments == sorted(set(moments))


def test_moments_keep_their_nanoseconds() -> None:
    assert _nanoseconds("1700000000.123456789") == 1700000000123456789
    assert _nanoseconds("1700000000") == 1700000000 * 10**9
    assert _nanoseconds("") is None
