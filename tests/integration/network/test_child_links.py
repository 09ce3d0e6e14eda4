"""macvlan and ipvlan: they work, or say clearly that this kernel has none; either way nothing stays behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from corten.errors import Invalid, NotImplementedYet
from corten.network.model import EndpointSpec, NetworkSpec

from .conftest import MemoryFacts, Namespace, daemon

pytestmark = pytest.mark.root


@pytest.mark.parametrize("kind", ["macvlan", "ipvlan"])
def test_child_of_a_link(kind: str, facts: MemoryFacts, namespaces: Callable[[], Namespace]) -> None:
    async def story() -> None:
        async with daemon(facts, "m") as net:
            box = namespaces()
            await net.create(NetworkSpec("lan", driver=kind, options={"parent": "ctm0"}))  # our own bridge as parent
            try:
                await net.connect("lan", box.container_id, box, EndpointSpec(container_name="box"))
            except NotImplementedYet as error:
                assert kind in error.message
                assert net.endpoints_of(box.container_id) == []
            else:
                interfaces = box.run(lambda: Path("/proc/net/dev").read_text())
                assert "eth0" in interfaces
                await net.release(box.container_id)
            with pytest.raises(Invalid, match="no such link on the host"):
                await net.create(NetworkSpec("far", driver=kind, options={"parent": "nothere0"}))
            try:
                await net.create(NetworkSpec("alone", driver=kind))
            except NotImplementedYet as error:
                assert "dummy" in error.message
                assert [network.name for network in net.all() if network.name == "alone"] == []

    asyncio.run(story())
