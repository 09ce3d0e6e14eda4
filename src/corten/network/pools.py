"""Which addresses are handed out: pure bookkeeping of one subnet, and the choice of a free subnet.

Owns: ``AddressPool`` (lowest free address first, as Docker does) and ``choose_subnet``.  Knows nothing of the kernel
or of records: whoever uses a pool fills it again from the endpoints it has written down.
"""

from __future__ import annotations

import hashlib
import heapq
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Network, ip_network

from corten.errors import Conflict, Denied, Invalid, Unavailable
from corten.network.model import IPAddress, IPNetwork

# docker: its default-address-pools, as (base, length of the subnets cut from it).
DEFAULT_POOLS = (
    ("172.17.0.0/16", 16),
    ("172.18.0.0/16", 16),
    ("172.19.0.0/16", 16),
    ("172.20.0.0/14", 16),
    ("172.24.0.0/14", 16),
    ("172.28.0.0/14", 16),
    ("192.168.0.0/16", 20),
)
_MOST_SUBNETS_TRIED = 65536


class AddressPool:
    """The addresses of one subnet.

    Addresses below ``_next`` were handed out at least once; those given back wait in a heap.  So a pool costs what is
    in use, not what the subnet holds, and an IPv6 /64 is no trouble.
    """

    def __init__(
        self, subnet: IPNetwork, ip_range: IPNetwork | None = None, reserved: Iterable[IPAddress] = ()
    ) -> None:
        self.subnet = subnet
        self._base = int(subnet.network_address)
        span = ip_range or subnet
        first, last = int(span.network_address), int(span.broadcast_address)
        if subnet.version == 4 and subnet.prefixlen < 31:
            first, last = max(first, self._base + 1), min(last, int(subnet.broadcast_address) - 1)
        elif subnet.version == 6 and subnet.prefixlen < 127:
            first = max(first, self._base + 1)  # the subnet-router anycast address
        self._first, self._last = first, last
        self._next = first
        self._taken: set[int] = set()
        self._returned: list[int] = []
        self._reserved = {int(address) for address in reserved}

    @property
    def in_use(self) -> int:
        return len(self._taken)

    def allocate(self) -> IPAddress | None:
        """Hand out the lowest free address; None when there is none."""
        while self._returned:
            number = heapq.heappop(self._returned)
            if self._is_free(number):
                return self._take(number)
        while self._next <= self._last:
            number = self._next
            self._next += 1
            if self._is_free(number):
                return self._take(number)
        return None

    def take(self, address: IPAddress) -> None:
        """Hand out this address; raises in Docker's words where it is not to be had."""
        if address not in self.subnet:
            raise Invalid(f"no configured subnet or ip-range contain the IP address {address}")
        number = int(address)
        if not self._is_free(number) or self._is_special(number):
            raise Denied("Address already in use")
        self._take(number)

    def release(self, address: IPAddress) -> None:
        """Take an address back; one that was not handed out is ignored."""
        number = int(address)
        if number in self._taken:
            self._taken.discard(number)
            if self._first <= number < self._next:
                heapq.heappush(self._returned, number)

    def reserve(self, address: IPAddress) -> None:
        """Never hand this address out (a gateway, an auxiliary address)."""
        self._reserved.add(int(address))

    def _is_free(self, number: int) -> bool:
        return number not in self._taken and number not in self._reserved

    def _is_special(self, number: int) -> bool:
        if self.subnet.version != 4 or self.subnet.prefixlen >= 31:
            return False
        return number in (self._base, int(self.subnet.broadcast_address))

    def _take(self, number: int) -> IPAddress:
        self._taken.add(number)
        return type(self.subnet.network_address)(number)


def first_host(subnet: IPNetwork, ip_range: IPNetwork | None, reserved: Iterable[IPAddress] = ()) -> IPAddress:
    """Choose a gateway: docker: the first free address of the range, or of the subnet where there is none."""
    found = AddressPool(subnet, ip_range, reserved).allocate()
    if found is None:
        raise Unavailable(f"no available addresses on the pool {subnet}")
    return found


@dataclass(frozen=True, slots=True)
class PoolSource:
    """A range from which automatic subnets are cut."""

    base: IPNetwork
    size: int

    @classmethod
    def parse(cls, base: str, size: int) -> PoolSource:
        try:
            network = ip_network(base)
        except ValueError as error:
            raise Invalid(f"invalid default address pool {base}: {error}") from None
        if not network.prefixlen <= size <= network.max_prefixlen:
            raise Invalid(f"invalid default address pool {base}: size {size} does not fit")
        return cls(network, size)

    def candidates(self) -> Iterator[IPNetwork]:
        subnets: Iterator[IPNetwork] = iter(self.base.subnets(new_prefix=self.size))
        yield from itertools.islice(subnets, _MOST_SUBNETS_TRIED)


def sources(configured: Sequence[tuple[str, int]], instance: str) -> list[PoolSource]:
    """The configured pools or Docker's; where none of them is IPv6, a unique local prefix made from the instance."""
    found = [PoolSource.parse(base, size) for base, size in configured or DEFAULT_POOLS]
    if not any(source.base.version == 6 for source in found):
        unique = int.from_bytes(hashlib.sha256(b"corten ula " + instance.encode()).digest()[:5], "big")
        base = IPv6Network((((0xFD << 40) | unique) << 80, 48))  # RFC 4193: fd, forty bits of our own
        found.append(PoolSource(base, 64))
    return found


def choose_subnet(version: int, pools: Sequence[PoolSource], occupied: Sequence[IPNetwork]) -> IPNetwork:
    """Find the first automatic subnet that touches nothing occupied (other networks, the host's routes)."""
    same = [network for network in occupied if network.version == version]
    for source in pools:
        if source.base.version != version:
            continue
        for subnet in source.candidates():
            if not any(subnet.overlaps(each) for each in same):
                return subnet
    raise Conflict(
        "all predefined address pools have been fully subnetted",
        hint="name a subnet (--subnet), remove unused networks (network prune) or give the daemon more "
        "default-address-pools",
    )


def refuse_overlap(subnet: IPNetwork, networks: Iterable[IPNetwork]) -> None:
    """A subnet that the user named must not touch another network's."""
    for each in networks:
        if each.version == subnet.version and each.overlaps(subnet):
            raise Denied("invalid pool request: Pool overlaps with other one on this address space")
