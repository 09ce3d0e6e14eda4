"""The body of a network create request, made into a NetworkSpec.

Owns: reading Docker's JSON and its words of refusal for what is malformed.  For what is impossible read
network/model.py and the drivers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from corten.errors import CortenError, Denied, Invalid
from corten.network.model import PREDEFINED, IpamConfig, NetworkSpec, parse_flag

OPTION_IPV4 = "com.docker.network.enable_ipv4"
OPTION_IPV6 = "com.docker.network.enable_ipv6"

_SWARM_DRIVERS = frozenset({"overlay"})
_NOT_A_MANAGER = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm '
    "and try again."
)


def parse(body: Mapping[str, Any], *, reads_ipv4: bool = True) -> NetworkSpec:
    """What is asked for; ``reads_ipv4`` is whether the client is new enough to say EnableIPv4."""
    name = _text(body, "Name")
    if name in PREDEFINED:
        raise Denied(f"operation is not permitted on predefined {name} network ")
    driver = _text(body, "Driver") or "bridge"
    if driver in _SWARM_DRIVERS or _text(body, "Scope") == "swarm" or body.get("Ingress"):
        raise Denied(_NOT_A_MANAGER)
    options = _texts(body.get("Options"), "Options")
    ipam = body.get("IPAM") or {}
    if not isinstance(ipam, Mapping):
        raise Invalid("invalid JSON: IPAM must be an object")
    config_from = body.get("ConfigFrom") or {}
    return NetworkSpec(
        name=name,
        driver=driver,
        ipam=_pools(ipam.get("Config")),
        ipam_driver=str(ipam.get("Driver") or "default"),
        ipam_options=_texts(ipam.get("Options"), "IPAM.Options"),
        enable_ipv4=_family(body.get("EnableIPv4") if reads_ipv4 else None, options, OPTION_IPV4, True),
        enable_ipv6=_family(body.get("EnableIPv6"), options, OPTION_IPV6, False),
        options=options,
        labels=_texts(body.get("Labels"), "Labels"),
        internal=bool(body.get("Internal")),
        attachable=bool(body.get("Attachable")),
        config_only=bool(body.get("ConfigOnly")),
        config_from=str(config_from.get("Network") or "") if isinstance(config_from, Mapping) else "",
    )


def _family(asked: object, options: dict[str, str], option: str, default: bool) -> bool:
    """What the field says, else the driver option, else the default; a field makes the option void."""
    if asked is not None:
        options.pop(option, None)
        return bool(asked)
    if option not in options:
        return default
    try:
        return parse_flag(option, options[option])
    except Invalid:
        raise Invalid(f'driver-opt "{option}" is not a valid bool') from None


def _pools(value: object) -> tuple[IpamConfig, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise Invalid("invalid JSON: IPAM.Config must be an array")
    pools, faults = [], []
    for item in value:
        if not isinstance(item, Mapping):
            raise Invalid("invalid JSON: IPAM.Config must hold objects")
        aux = _texts(item.get("AuxiliaryAddresses") or item.get("AuxAddress"), "IPAM.Config.AuxiliaryAddresses")
        try:
            fields = (_text(item, "Subnet"), _text(item, "IPRange"), _text(item, "Gateway"))
            if any(fields) or aux:
                pools.append(IpamConfig.parse(*fields, aux))
        except CortenError as error:
            faults.append(error.message)
    if faults:
        raise Invalid("invalid network config:\n" + "\n".join(faults))
    return tuple(pools)


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Invalid(f"invalid JSON: {name} must be a string")
    return value


def _texts(value: object, name: str) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(item, str) for item in value.values()):
        raise Invalid(f"invalid JSON: {name} must be an object of strings")
    return {str(key): str(item) for key, item in value.items()}
