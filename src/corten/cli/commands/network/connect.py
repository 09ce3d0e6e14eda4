"""``corten network connect``: put a container on a network."""

from __future__ import annotations

from typing import Any

from corten.cli import values
from corten.cli.command import Call, Command
from corten.client import paths


def run(call: Call) -> None:
    """Connect one."""
    options = call.options
    name, container = call.arguments
    ipam: dict[str, Any] = {
        "IPv4Address": options.text("ip"),
        "IPv6Address": options.text("ip6"),
        "LinkLocalIPs": options.many("link-local-ip"),
    }
    ipam = {field: value for field, value in ipam.items() if value}
    endpoint = {
        "IPAMConfig": ipam or None,
        "Links": options.many("link"),
        "Aliases": options.many("alias"),
        "DriverOpts": values.pairs(options.many("driver-opt")),
        "GwPriority": options.number("gw-priority"),
    }
    call.session.post(paths.network(name, "/connect"), body={"Container": container, "EndpointConfig": endpoint})


COMMAND = Command(
    run,
    "[OPTIONS] NETWORK CONTAINER",
    """
        --alias=strings          Add network-scoped alias for the container
        --driver-opt=strings     Driver options for the network
        --gw-priority=int        Highest gw-priority provides the default gateway
        --ip=string              IPv4 address (e.g., "172.30.100.104")
        --ip6=string             IPv6 address (e.g., "2001:db8::33")
        --link=list              Add link to another container
        --link-local-ip=strings  Add a link-local address for the container
    """,
    least=2,
    most=2,
)
