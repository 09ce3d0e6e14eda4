"""Networks as the API prints them, and which of them a filter keeps.

Owns: the JSON of v1.50 and Docker's network filters.  Pure over network.model values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from corten.api import patterns
from corten.api.filters import Filters
from corten.api.times import rfc3339
from corten.errors import Invalid
from corten.network.exposures import Exposure
from corten.network.model import Endpoint, IpamConfig, Network

LIST_FILTERS = frozenset({"dangling", "driver", "id", "label", "name", "scope", "type"})
SCOPE = "local"


def network(value: Network, endpoints: Iterable[Endpoint] = ()) -> dict[str, Any]:
    """All about one network."""
    return {
        "Name": value.name,
        "Id": value.id,
        "Created": rfc3339(value.created),
        "Scope": SCOPE,
        "Driver": value.driver,
        "EnableIPv4": value.enable_ipv4,
        "EnableIPv6": value.enable_ipv6,
        "IPAM": {
            "Driver": value.ipam_driver or "default",
            "Options": dict(value.ipam_options) or None,
            "Config": [_ipam(item) for item in value.ipam],
        },
        "Internal": value.internal,
        "Attachable": value.attachable,
        "Ingress": False,
        "ConfigFrom": {"Network": value.config_from},
        "ConfigOnly": value.config_only,
        "Containers": {item.container_id: _endpoint(item) for item in endpoints},
        "Options": dict(value.options),
        "Labels": dict(value.labels),
    }


def _ipam(config: IpamConfig) -> dict[str, Any]:
    view: dict[str, Any] = {"Subnet": str(config.subnet)}
    if config.ip_range:
        view["IPRange"] = str(config.ip_range)
    if config.gateway:
        view["Gateway"] = str(config.gateway)
    if config.aux:
        view["AuxiliaryAddresses"] = {name: str(address) for name, address in config.aux.items()}
    return view


def exposure(value: Exposure) -> dict[str, Any]:
    """A line of ``corten system exposures``."""
    return {
        "Container": value.container_id,
        "Name": value.container_name,
        "Protocol": value.protocol,
        "HostIp": value.host_ip,
        "FirstPort": value.first,
        "LastPort": value.last,
        "ContainerPort": value.container_port,
        "ReachableFrom": value.reachable_from,
        "Through": value.through,
    }


def host_exposure(container_id: str, name: str) -> dict[str, Any]:
    """The line of a container that shares the host's network: whatever it listens on."""
    reach = "wherever the host is, as its firewall allows"
    return exposure(Exposure(container_id, name, "any", "", 1, 65535, 1, reach, "the host's network"))


def _endpoint(value: Endpoint) -> dict[str, Any]:
    return {
        "Name": value.container_name,
        "EndpointID": value.id,
        "MacAddress": value.mac,
        "IPv4Address": str(value.ipv4) if value.ipv4 else "",
        "IPv6Address": str(value.ipv6) if value.ipv6 else "",
    }


def keep(networks: Sequence[Network], filters: Filters, in_use: Mapping[str, bool]) -> list[Network]:
    """The networks that the filters of a list keep; raises Invalid in dockerd's words."""
    filters.only(LIST_FILTERS)
    kept = [item for item in networks if _fits(item, filters)]
    if "dangling" in filters:
        wanted = _dangling(filters.get("dangling"))
        kept = [item for item in kept if (not item.is_predefined and not in_use.get(item.id, False)) == wanted]
    types = filters.get("type")
    for word in types:
        if word not in ("builtin", "custom"):
            raise Invalid(f"invalid filter: 'type'='{word}'")
    return [item for item in kept if not types or ("builtin" if item.is_predefined else "custom") in types]


def _fits(item: Network, filters: Filters) -> bool:
    return (
        filters.exact("driver", item.driver)
        and patterns.fits(filters, "name", item.name)
        and patterns.fits(filters, "id", item.id)
        and filters.labels(item.labels)
        and filters.exact("scope", SCOPE)
    )


def _dangling(values: tuple[str, ...]) -> bool:
    if len(values) > 1:
        raise Invalid('got more than one value for filter key "dangling"')
    if values[0] not in ("0", "false", "1", "true"):
        raise Invalid('invalid value for filter \'dangling\', must be "true" (or "1"), or "false" (or "0")')
    return values[0] in ("1", "true")
