"""``--network`` and what belongs to it: mode, aliases, addresses, links, extra hosts.

Owns: both spellings of ``--network`` and the API's EndpointsConfig.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from corten.cli.values import is_address, split_csv
from corten.errors import Invalid

if TYPE_CHECKING:
    from corten.cli.flags import Options

# Modes that are no user-defined network: aliases and addresses make no sense there.
_BUILT_IN = frozenset({"default", "bridge", "host", "none", "nat"})


def mode_and_endpoints(options: Options) -> tuple[str, dict[str, Any]]:
    """NetworkMode and EndpointsConfig; raises Invalid."""
    wanted = [_attachment(word) for word in options.many("network")] or [("default", {})]
    first = wanted[0][1]
    _merge(first, options)
    endpoints: dict[str, Any] = {}
    for name, endpoint in wanted:
        if name in endpoints:
            raise Invalid(f'network "{name}" is specified multiple times')
        if endpoint or len(wanted) > 1:
            _check(name, endpoint)
            endpoints[name] = endpoint
    mode = wanted[0][0]
    if len(wanted) > 1 and any(name in ("host", "none") or name.startswith("container:") for name, _ in wanted):
        raise Invalid("conflicting options: cannot attach both user-defined and non-user-defined network-modes")
    if not endpoints and mode not in _BUILT_IN and not mode.startswith("container:"):
        endpoints[mode] = {}
    return mode, endpoints


def _attachment(word: str) -> tuple[str, dict[str, Any]]:
    """``name`` or ``name=…,alias=…,ip=…``."""
    if "=" not in word:
        return word, {}
    name = ""
    endpoint: dict[str, Any] = {}
    ipam: dict[str, Any] = {}
    for part in split_csv(word):
        key, equals, value = part.partition("=")
        match key.strip().lower() if equals else "":
            case "name":
                name = value
            case "alias":
                endpoint.setdefault("Aliases", []).append(value)
            case "driver-opt":
                option, _, text = value.partition("=")
                endpoint.setdefault("DriverOpts", {})[option] = text
            case "ip":
                ipam["IPv4Address"] = value
            case "ip6":
                ipam["IPv6Address"] = value
            case "link-local-ip":
                ipam.setdefault("LinkLocalIPs", []).append(value)
            case "mac-address":
                endpoint["MacAddress"] = value
            case "gw-priority":
                endpoint["GwPriority"] = int(value)
            case _:
                raise Invalid(f"invalid field {part}")
    if not name:
        raise Invalid("network name/id is not specified")
    if ipam:
        endpoint["IPAMConfig"] = ipam
    return name, endpoint


def _merge(endpoint: dict[str, Any], options: Options) -> None:
    """The flags that speak of the first network."""
    ipam = endpoint.get("IPAMConfig", {})
    for flag, field in (("ip", "IPv4Address"), ("ip6", "IPv6Address")):
        if options.given(flag):
            if field in ipam:
                raise Invalid(f"conflicting options: cannot specify both --{flag} and per-network {flag}")
            ipam[field] = options.text(flag)
    if options.many("link-local-ip"):
        ipam["LinkLocalIPs"] = options.many("link-local-ip")
    if ipam:
        endpoint["IPAMConfig"] = ipam
    if options.many("network-alias"):
        endpoint["Aliases"] = [*endpoint.get("Aliases", ()), *options.many("network-alias")]
    networks = options.many("network")
    if options.many("link") and networks and networks[0] not in _BUILT_IN:
        endpoint["Links"] = options.many("link")
    if options.given("mac-address"):
        endpoint["MacAddress"] = options.text("mac-address")


def _check(name: str, endpoint: dict[str, Any]) -> None:
    if name.startswith("container:") and endpoint:
        raise Invalid("conflicting options: network-scoped options and the container network mode")
    for field in ("IPv4Address", "IPv6Address"):
        text = endpoint.get("IPAMConfig", {}).get(field)
        if text and not is_address(text):
            raise Invalid(f"invalid argument: {text} is not an ip address")


def extra_hosts(words: Iterable[str]) -> list[str]:
    """``host:ip`` from ``host:ip`` or ``host=ip``; raises Invalid."""
    found: list[str] = []
    for word in words:
        equals, colon = word.find("="), word.find(":")
        at = equals if equals >= 0 and (colon < 0 or equals < colon) else colon
        name, address = (word[:at], word[at + 1 :]) if at > 0 else ("", "")
        if not name or not address:
            raise Invalid(f'bad format for add-host: "{word}"')
        plain = address[1:-1] if address.startswith("[") and address.endswith("]") else address
        if plain != "host-gateway" and not is_address(plain):
            raise Invalid(f'invalid IP address in add-host: "{address}"')
        found.append(f"{name}:{plain}")
    return found
