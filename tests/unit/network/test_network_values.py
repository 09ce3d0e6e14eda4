"""Requests and records: refused in Docker's words, the same after the facts store."""

from __future__ import annotations

import json
from ipaddress import ip_interface

import pytest

from corten.errors import Conflict, Denied, Invalid, NotFound
from corten.network import formation, plan
from corten.network.drivers.table import driver
from corten.network.endpoints import check, renamed
from corten.network.model import Endpoint, EndpointSpec, IpamConfig, Network, NetworkSpec, PortBinding
from corten.network.pools import sources

POOLS = sources((), "")


def form(spec: NetworkSpec, *existing: Network) -> Network:
    formation.check(spec, existing)
    return formation.form(spec, existing, POOLS, [])


def test_networks_survive_the_facts_store() -> None:
    config = IpamConfig.parse("10.1.0.0/16", "10.1.2.0/24", "10.1.0.9", {"printer": "10.1.2.7"})
    network = form(NetworkSpec("app", ipam=(config,), enable_ipv6=True, labels={"a": "b"}, options={"x": "y"}))
    assert Network.from_json(json.loads(json.dumps(network.to_json()))) == network


def test_endpoints_survive_the_facts_store() -> None:
    endpoint = Endpoint(
        "1",
        "2",
        "app",
        "3",
        "web",
        "eth0",
        "veth1",
        "02:42:00:00:00:01",
        ip_interface("10.0.0.2/8"),  # type: ignore[arg-type]
        aliases=("w",),
        dns_names=("web", "w"),
        links=(("db", "store"),),
        driver_opts={"a": "b"},
        dns=("1.1.1.1",),
    )
    assert Endpoint.from_json(json.loads(json.dumps(endpoint.to_json()))) == endpoint


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("10.1.0.5/16",), "it should be 10.1.0.0/16"),
        (("nonsense",), "invalid CIDR block notation"),
        (("10.1.0.0/16", "10.2.0.0/24"), "parent subnet 10.1.0.0/16 doesn't contain ip-range"),
        (("10.1.0.0/16", "", "10.2.0.1"), "doesn't contain this address"),
    ],
)
def test_subnets_are_refused(arguments: tuple[str, ...], words: str) -> None:
    with pytest.raises(Invalid, match=words):
        IpamConfig.parse(*arguments)


def test_networks_are_refused() -> None:
    app = form(NetworkSpec("app"))
    for name in ("bridge", "host", "none", "default"):
        with pytest.raises(Denied, match="operation is not permitted on predefined"):
            form(NetworkSpec(name))
    with pytest.raises(Conflict, match="network with name app already exists"):
        form(NetworkSpec("app"), app)
    with pytest.raises(NotFound, match='could not find plugin "weave"'):
        form(NetworkSpec("x", driver="weave"))
    with pytest.raises(Denied, match="Pool overlaps"):
        form(NetworkSpec("x", ipam=(IpamConfig.parse("172.17.3.0/24"),)), app)
    with pytest.raises(Invalid, match="is not a boolean"):
        form(NetworkSpec("x", options={"com.docker.network.bridge.enable_icc": "maybe"}))
    with pytest.raises(Invalid, match="name is empty"):
        form(NetworkSpec(" "))
    with pytest.raises(Denied, match='only one instance of "host" network'):
        form(NetworkSpec("x", driver="host"), Network("1", "host", "host", 0.0))


def test_automatic_subnets_do_not_meet() -> None:
    first = form(NetworkSpec("a"))
    second = form(NetworkSpec("b"), first)
    assert [str(each.ipam[0].subnet) for each in (first, second)] == ["172.17.0.0/16", "172.18.0.0/16"]
    assert str(second.ipam[0].gateway) == "172.18.0.1"


def test_static_addresses_are_refused_where_docker_refuses_them() -> None:
    automatic, named = form(NetworkSpec("a")), form(NetworkSpec("b", ipam=(IpamConfig.parse("10.1.0.0/16"),)))
    with pytest.raises(Invalid, match="user configured subnets"):
        check(automatic, EndpointSpec(ipv4="172.17.0.9"))
    with pytest.raises(Invalid, match="no configured subnet or ip-range contain"):
        check(named, EndpointSpec(ipv4="10.9.0.9"))
    with pytest.raises(Invalid, match="user defined networks only"):
        check(Network("1", "bridge", "bridge", 0.0), EndpointSpec(ipv4="10.1.0.9"))
    with pytest.raises(Invalid, match="invalid MAC"):
        check(named, EndpointSpec(mac="zz"))
    check(named, EndpointSpec(ipv4="10.1.0.9"))


@pytest.mark.parametrize(
    "binding",
    [
        PortBinding(0),
        PortBinding(70000),
        PortBinding(80, "icmp"),
        PortBinding(80, host_ip="nope"),
        PortBinding(80, host_port=9, host_port_end=8),
    ],
)
def test_bindings_are_refused(binding: PortBinding) -> None:
    with pytest.raises(Invalid):
        binding.validate()


def test_gateway_by_priority_then_name() -> None:
    def endpoint(name: str, priority: int) -> Endpoint:
        gateway = ip_interface("10.0.0.1").ip
        return Endpoint(name, name, name, "c", "c", f"eth-{name}", "", "", gateway4=gateway, gw_priority=priority)  # type: ignore[arg-type]

    assert plan.gateways([endpoint("b", 0), endpoint("a", 0)]).ipv4 == (ip_interface("10.0.0.1").ip, "eth-a")
    chosen = plan.gateways([endpoint("b", 1), endpoint("a", 0)]).ipv4
    assert chosen is not None
    assert chosen[1] == "eth-b"
    assert plan.gateways([]).describe() == []


def test_plans_print_themselves() -> None:
    network = form(NetworkSpec("app", options={"com.docker.network.driver.mtu": "1400"}))
    bridge = plan.bridge_plan(network, 1500, "corten:x")
    assert bridge.describe()[1] == f"address 172.17.0.1/16 on {network.bridge}"
    assert bridge.mtu == 1400
    assert plan.bridge_mac("br0") == plan.bridge_mac("br0")
    assert plan.interface_name(["eth0", "eth2"]) == "eth1"


def test_child_drivers_check_their_modes() -> None:
    for kind in ("macvlan", "ipvlan"):
        with pytest.raises(Invalid, match="is not valid"):
            driver(kind).validate(NetworkSpec("x", driver=kind, options={f"{kind}_mode": "odd"}), [])
    with pytest.raises(Invalid, match="loopback"):
        driver("macvlan").validate(NetworkSpec("x", driver="macvlan", options={"parent": "lo"}), [])


def test_configuration_networks() -> None:
    subnet = IpamConfig.parse("10.7.0.0/16")
    kept = form(NetworkSpec("kept", config_only=True, ipam=(subnet,), options={"parent": "eth0"}))
    assert kept.config_only
    made = form(NetworkSpec("made", driver="macvlan", config_from="kept"), kept)
    assert (str(made.ipam[0].subnet), made.options["parent"], made.config_from) == ("10.7.0.0/16", "eth0", "kept")
    with pytest.raises(NotFound):
        form(NetworkSpec("made", config_from="other"), kept)
    with pytest.raises(Invalid, match="not supported if the network depends"):
        form(NetworkSpec("made", config_from="kept", options={"a": "b"}), kept)
    with pytest.raises(Invalid, match="configuration only network"):
        check(kept, EndpointSpec())


def test_a_renamed_endpoint_gets_other_aliases_where_they_are_given() -> None:
    names = ("web", "w", "0" * 12, "host")
    endpoint = Endpoint("1", "2", "app", "0" * 64, "web", "eth0", "veth1", "m", aliases=("w",), dns_names=names)
    assert renamed(endpoint, "next").dns_names == ("next", "w", "0" * 12, "host")
    other = renamed(endpoint, "next", {"app": ["x", "y"]})
    assert other.aliases == ("x", "y") and other.dns_names == ("next", "x", "y", "0" * 12, "host")
    assert renamed(other, "next", {"app": ["x", "y"]}) == other
    assert renamed(endpoint, "next", {}).dns_names == ("next", "0" * 12, "host")
