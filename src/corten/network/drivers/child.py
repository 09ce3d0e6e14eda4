"""The drivers ``macvlan`` and ``ipvlan``: containers as children of a link of the host, no bridge, no translation.

A network without the option ``parent``, and an internal one, gets a dummy link as parent (docker: the same).  A parent
``eth0.20`` that does not exist is made as VLAN 20 of eth0.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Sequence

from corten.errors import Denied, Invalid, NotImplementedYet
from corten.kernel.netlink import route
from corten.kernel.netlink.socket import Netlink
from corten.network import apply, plan
from corten.network.drivers.base import Surroundings
from corten.network.model import OPTION_MTU, Endpoint, Network, NetworkSpec, parse_mtu
from corten.network.plan import ChildPlan, Gateways, PlugPlan


class ChildDriver:
    """See ``base.Driver``.  ``kind`` is macvlan or ipvlan."""

    has_subnets = True
    is_single = False

    def __init__(self, kind: str) -> None:
        self.name = kind
        self._modes = route.MACVLAN_MODES if kind == "macvlan" else route.IPVLAN_MODES
        self._default_mode = "bridge" if kind == "macvlan" else "l2"

    def _mode(self, options: dict[str, str]) -> str:
        return options.get(f"{self.name}_mode") or self._default_mode

    def validate(self, spec: NetworkSpec, others: Sequence[Network]) -> None:
        options = dict(spec.options)
        if self._mode(options) not in self._modes:
            words = f"requested {self.name} mode '{self._mode(options)}' is not valid"
            raise Invalid(f"{words}, '{self._default_mode}' mode is the {self.name} driver default")
        flag = options.get("ipvlan_flag", "bridge")
        if flag not in route.IPVLAN_FLAGS:
            raise Invalid(f"invalid ipvlan flag '{flag}': want one of {', '.join(route.IPVLAN_FLAGS)}")
        if options.get(OPTION_MTU):
            parse_mtu(options[OPTION_MTU])
        parent = options.get("parent", "")
        if parent == "lo":
            raise Invalid("loopback interface is not a valid parent link")
        for other in others:
            shares = parent and other.driver in ("macvlan", "ipvlan") and other.options.get("parent") == parent
            if shares and (other.driver != self.name or self._mode(options) == "passthru"):
                raise Denied(f"network {other.name} is already using parent interface {parent}")

    def link_name(self, network_id: str, spec: NetworkSpec) -> str:
        """The parent where the user named one, else a dummy of our own."""
        return "" if spec.options.get("parent") else f"dm-{network_id[:12]}"

    def segment(self, network: Network) -> None:
        return None

    def plug_plan(self, network: Network, endpoint: Endpoint, gateways: Gateways, around: Surroundings) -> PlugPlan:
        options = dict(network.options)
        flag = options.get("ipvlan_flag", "bridge")
        child = ChildPlan(self.name, options.get("parent") or network.bridge, self._mode(options), flag)
        return PlugPlan(
            interface=endpoint.interface,
            mac=endpoint.mac if self.name == "macvlan" else "",  # all ipvlan children have their parent's
            mtu=network.mtu(0),
            addresses=plan.addresses_of(endpoint),
            gateways=gateways,
            child=child,
        )

    def make(self, netlink: Netlink, network: Network, around: Surroundings) -> None:
        name = network.options.get("parent") or network.bridge
        if apply.find_link(netlink, name) is not None:
            return
        parent, dot, vlan = name.rpartition(".")
        above = apply.find_link(netlink, parent) if dot and vlan.isdecimal() and 0 < int(vlan) < 4095 else None
        if network.options.get("parent") and above is None:
            raise Invalid(f"invalid parent interface {name}: no such link on the host")
        request = route.create_vlan(name, above.index, int(vlan)) if above else route.create_dummy(name)
        try:
            netlink.perform(request)
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
            kind = "vlan" if above else "dummy"
            raise NotImplementedYet(
                f"this host's kernel has no {kind} links, which a {self.name} network without an existing parent needs",
                hint="name an existing link of the host: -o parent=eth0",
            ) from None
        link = apply.find_link(netlink, name)
        if link is not None:
            netlink.perform(route.set_link(link.index, route.with_alias(around.alias)))

    def unmake(self, netlink: Netlink, network: Network, around: Surroundings) -> None:
        link = apply.find_link(netlink, network.options.get("parent") or network.bridge)
        if link is not None and link.alias == around.alias:
            with contextlib.suppress(OSError):
                netlink.perform(route.delete_link(link.index))
