"""The driver ``null`` (network ``none``): nothing but the container's own loopback."""

from __future__ import annotations

from collections.abc import Sequence

from corten.errors import Denied
from corten.kernel.netlink.socket import Netlink
from corten.network.drivers.base import Surroundings
from corten.network.model import Endpoint, Network, NetworkSpec
from corten.network.plan import Gateways


class NoneDriver:
    """See ``base.Driver``."""

    name = "null"
    has_subnets = False
    is_single = True

    def validate(self, spec: NetworkSpec, others: Sequence[Network]) -> None:
        if any(other.driver == self.name and not other.config_only for other in others):
            raise Denied(f'only one instance of "{self.name}" network is allowed')

    def link_name(self, network_id: str, spec: NetworkSpec) -> str:
        return ""

    def segment(self, network: Network) -> None:
        return None

    def plug_plan(self, network: Network, endpoint: Endpoint, gateways: Gateways, around: Surroundings) -> None:
        return None

    def make(self, netlink: Netlink, network: Network, around: Surroundings) -> None:
        """Nothing of the host's belongs to it."""

    def unmake(self, netlink: Netlink, network: Network, around: Surroundings) -> None:
        """Nothing of the host's belongs to it."""
