"""The ruleset as one value: a golden file, and changes that touch only what differs."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path

from corten.network import firewall
from corten.network.firewall import Firewall, Forward, Segment
from corten.network.model import PortBinding
from corten.network.ports import Target, forwards

GOLDEN = Path(__file__).parents[2] / "golden" / "netlink" / "ruleset.nft"
BOX = ip_address("172.30.0.2")


def example() -> Firewall:
    segments = {
        Segment("br-app", (ip_network("172.30.0.0/16"), ip_network("fd01::/64")), mode6="nat-unprotected"),
        Segment("br-dark", (ip_network("172.31.0.0/16"),), internal=True),
        Segment("br-shy", (ip_network("172.29.0.0/16"),), icc=False, source4=ip_address("192.0.2.7")),  # type: ignore[arg-type]
    }
    published = {
        Forward("tcp", None, 8080, 8080, BOX, 80),
        Forward("udp", ip_address("127.0.0.1"), 53, 53, BOX, 53),
        Forward("tcp", None, 9000, 18999, BOX, 9000),
        Forward("tcp", ip_address("192.0.2.2"), 7000, 7100, BOX, 7000),
        Forward("tcp", None, 443, 443, ip_address("fd01::2"), 443),
        Forward("tcp", None, 81, 81, ip_address("fd01::2"), 81, direct=True),
    }
    return Firewall("corten", frozenset(segments), frozenset(published))


def test_golden() -> None:
    assert str(firewall.ruleset(example())) == GOLDEN.read_text()


def test_changes_touch_only_what_differs() -> None:
    before = example()
    extra = Forward("tcp", None, 8081, 8081, BOX, 81)
    [change] = firewall.changes(before, replace(before, forwards=before.forwards | {extra}))
    assert (change.each.name, len(change.removed), len(change.added)) == ("ports4", 0, 1)
    assert firewall.changes(before, before) == []


def test_changes_there_and_back_give_the_same_sets() -> None:
    before, after = example(), Firewall("corten")
    members = {name: set(elements) for name, elements in firewall.elements(before).items()}
    for change in [*firewall.changes(before, after), *firewall.changes(after, before)]:
        members[change.each.name] -= change.removed
        members[change.each.name] |= change.added
    assert members == firewall.elements(before)


def test_ten_thousand_neighbouring_ports_are_one_forward() -> None:
    many = [PortBinding(port, host_ip="0.0.0.0", host_port=port) for port in range(20000, 30000)]
    found = forwards(many, Target(ipv4=BOX))  # type: ignore[arg-type]
    assert found == {Forward("tcp", None, 20000, 29999, BOX, 20000)}


def test_ports_that_change_their_number_stay_apart() -> None:
    many = [PortBinding(port - 100, host_ip="10.0.0.1", host_port=port) for port in range(8000, 8003)]
    assert len(forwards(many, Target(ipv4=BOX))) == 3  # type: ignore[arg-type]


def test_a_family_that_the_container_lacks_is_left_to_the_proxy() -> None:
    assert forwards([PortBinding(80, host_ip="::", host_port=80)], Target(ipv4=BOX)) == frozenset()  # type: ignore[arg-type]


def test_routed_mode_only_opens_the_containers_port() -> None:
    [found] = forwards([PortBinding(80, host_ip="0.0.0.0", host_port=8080)], Target(ipv4=BOX, routed4=True))  # type: ignore[arg-type]
    assert found == Forward("tcp", None, 80, 80, BOX, 80, direct=True)
