"""``corten network create``: a new network."""

from __future__ import annotations

import sys
from typing import Any

from corten.cli import values
from corten.cli.command import Call, Command
from corten.cli.containers import env
from corten.cli.flags import Options
from corten.errors import Invalid


def run(call: Call) -> None:
    """Create one and print its id."""
    answer = call.session.post("/networks/create", body=body(call.options, call.arguments[0]))
    if answer.get("Warning"):
        print(f"WARNING: {answer['Warning']}", file=sys.stderr)
    print(answer["Id"])


def body(options: Options, name: str) -> dict[str, Any]:
    """The body of POST /networks/create; raises Invalid."""
    found: dict[str, Any] = {
        "Name": name,
        "Driver": options.text("driver"),
        "Options": values.pairs(options.many("opt")),
        "IPAM": {
            "Driver": options.text("ipam-driver"),
            "Config": subnets(options),
            "Options": values.pairs(options.many("ipam-opt")),
        },
        "Internal": options.on("internal"),
        "Ingress": options.on("ingress"),
        "Attachable": options.on("attachable"),
        "ConfigOnly": options.on("config-only"),
        "Scope": options.text("scope"),
        "Labels": env.labels(options.many("label"), ()),
    }
    # Absent means the daemon's default, so only what was said is sent.
    found |= {
        field: options.on(flag)
        for flag, field in (("ipv4", "EnableIPv4"), ("ipv6", "EnableIPv6"))
        if options.given(flag)
    }
    if source := options.text("config-from"):
        found["ConfigFrom"] = {"Network": source}
    return found


def subnets(options: Options) -> list[dict[str, Any]]:
    """Each subnet with the range, gateway and reserved addresses that lie in it; raises Invalid."""
    import ipaddress

    def network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
        try:
            return ipaddress.ip_network(text, strict=False)
        except ValueError as error:
            raise Invalid(f"invalid CIDR address: {text}") from error

    def address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
        try:
            return ipaddress.ip_address(text)
        except ValueError as error:
            raise Invalid(f"invalid address: {text}") from error

    pools: list[tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, dict[str, Any]]] = []
    for text in options.many("subnet"):
        if any(pool.overlaps(network(text)) for pool, _ in pools if pool.version == network(text).version):
            raise Invalid("multiple overlapping subnet configuration is not supported")
        pools.append((network(text), {"Subnet": text}))
    if not pools and (options.many("ip-range") or options.many("gateway")):
        raise Invalid("every ip-range or gateway must have a corresponding subnet")

    def config_of(what: str, text: str) -> dict[str, Any]:
        inside = network(text).network_address if what == "ip-range" else address(text)
        for pool, config in pools:
            if inside in pool:
                return config
        raise Invalid(f"no matching subnet for {what} {text}")

    for what, field in (("ip-range", "IPRange"), ("gateway", "Gateway")):
        for text in options.many(what):
            config = config_of(what, text)
            if field in config:
                raise Invalid(f"cannot configure multiple {what}s ({text}, {config[field]}) on the same subnet")
            config[field] = text
    for name, text in values.pairs(options.many("aux-address")).items():
        config_of("aux-address", text).setdefault("AuxiliaryAddresses", {})[name] = text
    return [config for _, config in pools]


COMMAND = Command(
    run,
    "[OPTIONS] NETWORK",
    """
        --attachable             Enable manual container attachment
        --aux-address=map        Auxiliary addresses used by the network driver
        --config-from=string     The network from which to copy the configuration
        --config-only            Create a configuration only network
    -d, --driver=string(bridge)  Driver to manage the network
        --gateway=strings        IPv4 or IPv6 gateway for the subnet
        --ingress                Create a swarm routing-mesh network
        --internal               Restrict external access to the network
        --ip-range=strings       Allocate container addresses from a sub-range
        --ipam-driver=string(default)  IP address management driver
        --ipam-opt=map           Options of the address management driver
        --ipv4=bool(true)        Enable or disable IPv4 address assignment
        --ipv6                   Enable or disable IPv6 address assignment
        --label=list             Set metadata on a network
    -o, --opt=map                Set driver specific options
        --scope=string           Control the network's scope
        --subnet=strings         Subnet in CIDR format that represents a network segment
    """,
    least=1,
    most=1,
)
