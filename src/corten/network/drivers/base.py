"""The interface of a network driver.

Owns: ``Driver`` and ``Surroundings``.  A driver says what a network of its kind needs (purely) and makes or removes the
links of the host that belong to the network as a whole.  Read next: ``bridge.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from corten.kernel.netlink.socket import Netlink
from corten.network.firewall import Segment
from corten.network.model import Endpoint, Network, NetworkSpec
from corten.network.plan import Gateways, PlugPlan


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a driver may need to know of its daemon."""

    mtu: int
    alias: str  # the mark on links that this daemon made


class Driver(Protocol):
    """One way of joining containers to the world.  Methods other than make and unmake are pure."""

    name: str
    has_subnets: bool  # addresses are handed out from subnets
    is_single: bool  # only the predefined network of this kind exists

    def validate(self, spec: NetworkSpec, others: Sequence[Network]) -> None:
        """Refuse options that cannot be met; raises Invalid, Denied or Conflict."""
        ...

    def link_name(self, network_id: str, spec: NetworkSpec) -> str:
        """The host's link that belongs to the network, or nothing."""
        ...

    def segment(self, network: Network) -> Segment | None:
        """What the firewall must know of the network."""
        ...

    def plug_plan(
        self, network: Network, endpoint: Endpoint, gateways: Gateways, around: Surroundings
    ) -> PlugPlan | None:
        """How a container is plugged in; None where there is nothing to plug."""
        ...

    def make(self, netlink: Netlink, network: Network, around: Surroundings) -> None:
        """Make or repair the host's links of the network.  Blocks."""
        ...

    def unmake(self, netlink: Netlink, network: Network, around: Surroundings) -> None:
        """Remove the host's links of the network.  Blocks."""
        ...
