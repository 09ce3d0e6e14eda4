"""What is reachable from where, for people."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_interface

from corten.network.exposures import of_open_networks, of_publication
from corten.network.ledger import Publication
from corten.network.model import Endpoint, Network, PortBinding
from corten.network.ports import Target


def test_published_ports_say_how_far_they_reach() -> None:
    bindings = (
        PortBinding(80, host_ip="127.0.0.1", host_port=8080),
        PortBinding(443, host_ip="0.0.0.0", host_port=443),
        *(PortBinding(port, host_ip="192.0.2.2", host_port=port) for port in range(9000, 9010)),
    )
    publication = Publication("c", "web", bindings)
    found = of_publication(publication, Target(), host_firewall=False)
    assert [(each.first, each.last, each.reachable_from) for each in found] == [
        (443, 443, "everywhere"),
        (8080, 8080, "this host"),
        (9000, 9009, "the networks of 192.0.2.2"),
    ]
    assert "firewall allows" in of_publication(publication, Target(), host_firewall=True)[0].reachable_from


def test_routed_ports_are_those_of_the_container() -> None:
    bindings = (PortBinding(80, host_ip="0.0.0.0", host_port=8080), PortBinding(80, host_ip="::", host_port=8080))
    target = Target(ipv4=IPv4Address("10.0.0.2"), routed4=True)
    found = of_publication(Publication("c", "web", bindings), target, host_firewall=False)
    assert [(each.host_ip, each.first, each.through) for each in found] == [
        ("10.0.0.2", 80, "its own address"),
        ("::", 8080, "published port"),
    ]


def test_open_networks() -> None:
    option = {"com.docker.network.bridge.gateway_mode_ipv4": "nat-unprotected"}
    networks = [Network("1", "open", "bridge", 0.0, options=option), Network("2", "shut", "bridge", 0.0)]
    networks.append(Network("3", "lan", "macvlan", 0.0, options={"parent": "eth0"}))
    address = ip_interface("10.0.0.2/24")
    endpoints = [
        Endpoint(n, n, n, "c", "web", "eth0", "", "", ipv4=address)  # type: ignore[arg-type]
        for n in ("1", "2", "3")
    ]
    assert [(each.host_ip, each.reachable_from) for each in of_open_networks(networks, endpoints)] == [
        ("10.0.0.2", "wherever a route leads here"),
        ("10.0.0.2", "the network of eth0"),
    ]
