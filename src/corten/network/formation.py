"""How a network comes to be: what is refused, and the choice of subnets and gateways.

Owns: the predefined networks and the step from ``NetworkSpec`` to ``Network``.  Pure but for the ledger it fills.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_interface, ip_network

from corten.errors import Conflict, Denied, Invalid, NotFound
from corten.network.drivers.table import driver
from corten.network.ledger import Ledger, new_id
from corten.network.model import (
    OPTION_BRIDGE_NAME,
    OPTION_DEFAULT_BRIDGE,
    OPTION_HOST_BINDING,
    OPTION_ICC,
    OPTION_MASQUERADE,
    OPTION_MTU,
    IpamConfig,
    IPNetwork,
    Network,
    NetworkSpec,
    gateway_mode,
)
from corten.network.pools import PoolSource, choose_subnet, first_host, refuse_overlap

_RESERVED = frozenset({"default", "bridge", "host", "none", "ingress"})


@dataclass(frozen=True, slots=True)
class DefaultBridge:
    """The daemon's flags that shape the network ``bridge``."""

    name: str
    bip: str = ""
    fixed_cidr: str = ""
    icc: bool = True
    ipv6: bool = False
    mtu: int = 1500


def check(spec: NetworkSpec, existing: Sequence[Network]) -> None:
    """Refuse a request before anything is done."""
    spec.validate()
    if spec.name in _RESERVED:
        raise Denied(f"operation is not permitted on predefined {spec.name} network")
    if any(network.name == spec.name for network in existing):
        raise Conflict(f"network with name {spec.name} already exists")
    if spec.config_only and spec.config_from:
        raise Invalid("a configuration network cannot depend on another configuration network")
    if not spec.config_only:
        resolved = resolve(spec, existing)
        driver(resolved.driver).validate(resolved, existing)


def resolve(spec: NetworkSpec, existing: Sequence[Network]) -> NetworkSpec:
    """Take over what a configuration-only network says.  docker: then nothing of it may be given again."""
    if not spec.config_from:
        return spec
    source = next((each for each in existing if spec.config_from in (each.name, each.id)), None)
    if source is None:
        raise NotFound(f"network {spec.config_from} not found")
    if not source.config_only:
        raise Invalid(f"{source.name} is not a configuration network")
    if spec.ipam or spec.options:
        raise Invalid(
            "user supplied configurations are not supported if the network depends on a configuration network"
        )
    return replace(
        spec,
        ipam=source.ipam,
        options=source.options,
        ipam_driver=source.ipam_driver,
        ipam_options=source.ipam_options,
        enable_ipv6=source.enable_ipv6,
        labels={**source.labels, **spec.labels},
    )


def form(
    spec: NetworkSpec, existing: Sequence[Network], pools: Sequence[PoolSource], host: Sequence[IPNetwork]
) -> Network:
    """Fill in what the request leaves open."""
    identity = new_id()
    if spec.config_only:
        return _configuration(identity, spec)
    spec = resolve(spec, existing)
    kind = driver(spec.driver)
    others = [config.subnet for network in existing if not network.config_only for config in network.ipam]
    ipam = _subnets(spec, others, pools, host) if kind.has_subnets and spec.ipam_driver != "null" else ()
    return Network(
        id=identity,
        name=spec.name,
        driver=spec.driver,
        created=time.time(),
        ipam=ipam,
        options=dict(spec.options),
        labels=dict(spec.labels),
        internal=spec.internal,
        attachable=spec.attachable,
        enable_ipv4=spec.enable_ipv4,
        enable_ipv6=spec.enable_ipv6,
        bridge=kind.link_name(identity, spec),
        ipam_driver=spec.ipam_driver or "default",
        ipam_options=dict(spec.ipam_options),
        user_subnets=bool(spec.ipam),
        config_from=spec.config_from,
    )


def _configuration(identity: str, spec: NetworkSpec) -> Network:
    """A network that only keeps settings for others; nothing of it exists."""
    return Network(
        id=identity,
        name=spec.name,
        driver="null",  # docker: shown so, whatever driver was named
        created=time.time(),
        ipam=spec.ipam,
        options=dict(spec.options),
        labels=dict(spec.labels),
        enable_ipv4=spec.enable_ipv4,
        enable_ipv6=spec.enable_ipv6,
        ipam_driver=spec.ipam_driver or "default",
        ipam_options=dict(spec.ipam_options),
        config_only=True,
    )


def _subnets(
    spec: NetworkSpec, others: Sequence[IPNetwork], pools: Sequence[PoolSource], host: Sequence[IPNetwork]
) -> tuple[IpamConfig, ...]:
    found: list[IpamConfig] = []
    for version, enabled in ((4, spec.enable_ipv4), (6, spec.enable_ipv6)):
        if not enabled:
            continue
        wanted = [config for config in spec.ipam if config.subnet.version == version]
        for config in wanted:
            refuse_overlap(config.subnet, [*others, *(each.subnet for each in found)])
        chosen = wanted or [IpamConfig(choose_subnet(version, pools, [*others, *host]))]
        # docker: where the host has no address on the bridge, none is kept back for it
        has_gateway = gateway_mode(spec.options, version) != "isolated"
        found += [with_gateway(config) if has_gateway or config.gateway else config for config in chosen]
    return tuple(found)


def with_gateway(config: IpamConfig) -> IpamConfig:
    if config.gateway:
        if config.gateway in config.aux.values():
            raise Invalid(f"failed to allocate gateway ({config.gateway}): Address already in use")
        return config
    return replace(config, gateway=first_host(config.subnet, config.ip_range, config.aux.values()))


# ── the networks that are always there ─────────────────────────────────────────────────────────────


def ensure_predefined(
    ledger: Ledger, default: DefaultBridge, pools: Sequence[PoolSource], host: Sequence[IPNetwork]
) -> None:
    """Have ``bridge``, ``host`` and ``none``; the bridge as the flags say, else as it was."""
    known = {network.name: network for network in ledger.networks.values()}
    for name, kind in (("host", "host"), ("none", "null")):
        if name not in known:
            ledger.add_network(Network(new_id(), name, kind, time.time(), enable_ipv4=True))
    wanted = _default_network(known.get("bridge"), default, ledger, pools, host)
    if "bridge" not in known:
        ledger.add_network(wanted)
    elif wanted != known["bridge"]:
        ledger.replace_network(wanted)


def _default_network(
    known: Network | None,
    default: DefaultBridge,
    ledger: Ledger,
    pools: Sequence[PoolSource],
    host: Sequence[IPNetwork],
) -> Network:
    others = [
        config.subnet
        for each in ledger.networks.values()
        if each != known and not each.config_only
        for config in each.ipam
    ]
    ipam = [_default_ipv4(known, default, [*others, *host], pools)]
    if default.ipv6:
        before = known.subnets(6) if known else []
        ipam.append(before[0] if before else with_gateway(IpamConfig(choose_subnet(6, pools, [*others, *host]))))
    options = {
        OPTION_DEFAULT_BRIDGE: "true",
        OPTION_ICC: str(default.icc).lower(),
        OPTION_MASQUERADE: "true",
        OPTION_HOST_BINDING: "0.0.0.0",
        OPTION_BRIDGE_NAME: default.name,
        OPTION_MTU: str(default.mtu),
    }
    return Network(
        id=known.id if known else new_id(),
        name="bridge",
        driver="bridge",
        created=known.created if known else time.time(),
        ipam=tuple(ipam),
        options=options,
        enable_ipv6=default.ipv6,
        bridge=default.name,
    )


def _default_ipv4(
    known: Network | None, default: DefaultBridge, occupied: Sequence[IPNetwork], pools: Sequence[PoolSource]
) -> IpamConfig:
    span = None
    if default.fixed_cidr:
        try:
            span = ip_network(default.fixed_cidr, strict=False)
        except ValueError as error:
            raise Invalid(f"invalid --fixed-cidr {default.fixed_cidr}: {error}") from None
    if default.bip:
        try:
            address = ip_interface(default.bip)
        except ValueError as error:
            raise Invalid(f"invalid --bip {default.bip}: {error}") from None
        return IpamConfig(address.network, span, address.ip)
    before = known.subnets(4) if known else []
    if before:
        return replace(before[0], ip_range=span)
    return with_gateway(IpamConfig(choose_subnet(4, pools, occupied), span))
