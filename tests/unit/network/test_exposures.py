"""What is reachable from where, for people."""

from __future__ import annotations

from ipaddress import ip_interface

from corten.network.exposures import of_open_networks, of_publications
from corten.network.ledger import Publication
from corten.network.model import Endpoint, Network, PortBinding


def test_published_ports_say_how_far_they_reach() -> None:
    bindings = (
        PortBinding(80, host_ip="127.0.0.1", host_port=8080),
        PortBinding(443, host_ip="0.0.0.0", host_port=443),
        *(PortBinding(port, host_ip="192.0.2.2", host_port=port) for port in range(9000, 9010)),
    )
    publication = Publication("c", "web", bindings)
    found = of_publications([publication], host_firewall=False)
    assert [(each.first, each.last, each.reachable_from) for each in found] == [
        (443, 443, "everywhere"),
        (8080, 8080, "this host"),
        (9000, 9009, "the networks of 192.0.2.2"),
    ]
    assert "firewall allows" in of_publications([publication], host_firewall=True)[0].reachable_from


def test_open_networks() -> None:
    option = {"com.docker.network.bridge.gateway_mode_ipv4": "nat-unprotected"}
    networks = [Network("1", "open", "bridge", 0.0, options=option), Network("2", "shut", "bridge", 0.0)]
    address = ip_interface("10.0.0.2/24")
    endpoints = [
        Endpoint(n, n, n, "c", "web", "eth0", "", "", ipv4=address)  # type: ignore[arg-type]
        for n in ("1", "2")
    ]
    assert [each.host_ip for each in of_open_networks(networks, endpoints)] == ["10.0.0.2"]
