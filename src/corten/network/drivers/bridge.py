"""The driver ``bridge``: a bridge of the host, a veth pair for each container, translation to the outside."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address

from corten.errors import Denied, Invalid
from corten.kernel.netlink.socket import Netlink
from corten.network import apply, plan
from corten.network.drivers.base import Surroundings
from corten.network.firewall import Segment
from corten.network.model import (
    OPTION_BRIDGE_NAME,
    OPTION_GATEWAY_MODE4,
    OPTION_GATEWAY_MODE6,
    OPTION_HOST_BINDING,
    OPTION_HOST_IPV4,
    OPTION_HOST_IPV6,
    OPTION_ICC,
    OPTION_MASQUERADE,
    OPTION_MTU,
    Endpoint,
    Network,
    NetworkSpec,
    parse_flag,
    parse_mtu,
)
from corten.network.plan import Gateways, PlugPlan

GATEWAY_MODES = ("nat", "nat-unprotected", "routed", "isolated")


class BridgeDriver:
    """See ``base.Driver``."""

    name = "bridge"
    has_subnets = True
    is_single = False

    def validate(self, spec: NetworkSpec, others: Sequence[Network]) -> None:
        options = spec.options
        for option in (OPTION_MASQUERADE, OPTION_ICC):
            if options.get(option):
                parse_flag(option, options[option])
        if options.get(OPTION_MTU):
            parse_mtu(options[OPTION_MTU])
        for option in (OPTION_GATEWAY_MODE4, OPTION_GATEWAY_MODE6):
            mode = options.get(option, "")
            if mode and mode not in GATEWAY_MODES:
                raise Invalid(f"unknown gateway mode {mode} of {option}: want one of {', '.join(GATEWAY_MODES)}")
            if mode == "isolated" and not spec.internal:
                raise Invalid("gateway mode 'isolated' can only be used for an internal network")
        for option, kind in (
            (OPTION_HOST_BINDING, IPv4Address),
            (OPTION_HOST_IPV4, IPv4Address),
            (OPTION_HOST_IPV6, IPv6Address),
        ):
            try:
                if options.get(option):
                    kind(options[option])
            except ValueError:
                raise Invalid(f"invalid address of {option}: {options[option]}") from None
        self._validate_name(options.get(OPTION_BRIDGE_NAME, ""), others)

    def _validate_name(self, name: str, others: Sequence[Network]) -> None:
        if len(name) > plan.LONGEST_NAME or "/" in name or any(each.isspace() for each in name):
            raise Invalid(f"invalid bridge name {name!r}: at most {plan.LONGEST_NAME} characters, no blanks, no slash")
        for other in others:
            if name and other.bridge == name:
                words = (
                    f"cannot create network with bridge name {name}: conflicts with network {other.id} ({other.name})"
                )
                raise Denied(f"{words}: networks have same bridge name")

    def link_name(self, network_id: str, spec: NetworkSpec) -> str:
        return plan.bridge_name(network_id, dict(spec.options))

    def segment(self, network: Network) -> Segment:
        source4, source6 = network.options.get(OPTION_HOST_IPV4), network.options.get(OPTION_HOST_IPV6)
        return Segment(
            bridge=network.bridge,
            subnets=tuple(config.subnet for config in network.ipam),
            internal=network.internal,
            icc=network.allows_icc,
            masqueraded=network.is_masqueraded,
            source4=IPv4Address(source4) if source4 else None,
            source6=IPv6Address(source6) if source6 else None,
            mode4=network.gateway_mode(4),
            mode6=network.gateway_mode(6),
        )

    def plug_plan(self, network: Network, endpoint: Endpoint, gateways: Gateways, around: Surroundings) -> PlugPlan:
        return PlugPlan(
            interface=endpoint.interface,
            mac=endpoint.mac,
            mtu=network.mtu(around.mtu),
            addresses=plan.addresses_of(endpoint),
            gateways=gateways,
            link=endpoint.link,
            bridge=network.bridge,
            isolated=not network.allows_icc,
        )

    def make(self, netlink: Netlink, network: Network, around: Surroundings) -> None:
        wanted = plan.bridge_plan(network, around.mtu, around.alias)
        apply.ensure_bridge(netlink, wanted, adopt=OPTION_BRIDGE_NAME in network.options)
        apply.enable_forwarding(netlink, ipv6=network.enable_ipv6)

    def unmake(self, netlink: Netlink, network: Network, around: Surroundings) -> None:
        apply.remove_bridge(netlink, network.bridge, around.alias)
