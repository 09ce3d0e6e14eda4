"""Published ports: which ones, taken from the host, led to the container.

Owns: the pure expansion of what was asked into addresses and ports (``expand``), the forwards for the firewall
(``forwards``), and ``PortHolder``, which takes ports by binding sockets so that nobody else, inside or outside this
daemon, can have them.  Rules: ``firewall.py``.  Who answers where rules cannot reach ([::1], IPv6 to a container that
has only IPv4): ``proxy.py``, on the sockets held here.
"""

from __future__ import annotations

import errno
import functools
import itertools
import socket
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from corten.errors import Internal, Invalid
from corten.network.firewall import Forward
from corten.network.model import PortBinding

LONGEST_HELD_RANGE = 256  # a longer range is checked but not held: descriptors are dear
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_KINDS = {"tcp": (socket.SOCK_STREAM, 0), "udp": (socket.SOCK_DGRAM, 0), "sctp": (socket.SOCK_STREAM, 132)}
_BACKLOG = 128
_ANY = ("0.0.0.0", "::")


@dataclass(frozen=True, slots=True)
class Held:
    """A port of the host that is ours; without a socket where it is only checked (long ranges)."""

    binding: PortBinding
    sock: socket.socket | None

    def close(self) -> None:
        if self.sock is not None:
            self.sock.close()


def hosts_of(binding: PortBinding, default_host: str, *, ipv6: bool) -> list[str]:
    """The host addresses that a binding means: docker: none given is every IPv4 and every IPv6 address."""
    host = binding.host_ip or default_host
    if not host:
        return list(_ANY) if ipv6 else [_ANY[0]]
    return [str(_address(host))]


def candidates(binding: PortBinding, ephemeral: Iterable[int]) -> Iterable[int]:
    """The host ports to try, in order."""
    if binding.host_port and binding.host_port_end > binding.host_port:
        return range(binding.host_port, binding.host_port_end + 1)
    return (binding.host_port,) if binding.host_port else ephemeral


# Ten thousand ports have one address.
_address = functools.lru_cache(256)(ip_address)


class PortHolder:
    """The held ports of all containers."""

    def __init__(self) -> None:
        self._held: dict[str, list[Held]] = {}
        self._hosts: dict[tuple[int, str, bool], set[str]] = {}  # (port, protocol, is IPv6) -> host addresses
        self._ephemeral = _ephemeral_ports()

    def held(self, container_id: str) -> list[Held]:
        return list(self._held.get(container_id, []))

    def take(
        self,
        container_id: str,
        bindings: Sequence[PortBinding],
        default_host: str,
        *,
        ipv6: bool,
        hold: bool = True,
    ) -> list[PortBinding]:
        """Take all of them or none; raises in Docker's words.  Returns one binding for each host address."""
        taken: list[Held] = []
        try:
            for binding in bindings:
                binding.validate()
                hosts = hosts_of(binding, default_host, ipv6=ipv6)
                taken += self._take_one(binding, hosts, hold=hold)
                for held in taken[-len(hosts) :]:
                    self._hosts.setdefault(_place(held.binding), set()).add(held.binding.host_ip)
        except BaseException:
            self._forget(taken)
            raise
        self._held.setdefault(container_id, []).extend(taken)
        return [held.binding for held in taken]

    def give_back(self, container_id: str, bindings: Iterable[PortBinding] | None = None) -> None:
        """Release some or all ports of a container."""
        mine = self._held.pop(container_id, [])
        if bindings is not None:
            leaving = {_key(binding) for binding in bindings}
            staying = [held for held in mine if _key(held.binding) not in leaving]
            if staying:
                self._held[container_id] = staying
            mine = [held for held in mine if _key(held.binding) in leaving]
        self._forget(mine)

    def close(self) -> None:
        for container_id in list(self._held):
            self.give_back(container_id)

    def _forget(self, many: Iterable[Held]) -> None:
        for held in many:
            held.close()
            hosts = self._hosts.get(_place(held.binding), set())
            hosts.discard(held.binding.host_ip)
            if not hosts:
                self._hosts.pop(_place(held.binding), None)

    def _take_one(self, binding: PortBinding, hosts: Sequence[str], *, hold: bool) -> list[Held]:
        refusal: OSError | None = None
        ephemeral = itertools.islice(self._ephemeral, 30000)
        for port in candidates(binding, ephemeral):
            try:
                return self._take_port(binding, hosts, port, hold=hold)
            except OSError as error:
                refusal = error
                if error.errno in (errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT):
                    break
        wanted = f"{_shown(hosts[0])}:{binding.host_port}"
        if refusal is None or isinstance(refusal, _OursAlready):
            raise Internal(f"Bind for {wanted} failed: port is already allocated")
        if refusal.errno == errno.EADDRINUSE:
            raise Internal(f"failed to bind host port for {wanted}/{binding.protocol}: address already in use")
        if refusal.errno == errno.EADDRNOTAVAIL:
            words = "cannot assign requested address"
            raise Internal(f"failed to bind host port for {wanted}/{binding.protocol}: {words}")
        raise Internal(f"failed to bind host port for {wanted}/{binding.protocol}: {refusal.strerror}")

    def _take_port(self, binding: PortBinding, hosts: Sequence[str], port: int, *, hold: bool) -> list[Held]:
        got: list[Held] = []
        try:
            for host in hosts:
                self._refuse_ours(host, port, binding.protocol)
                sock = _bind(host, port, binding.protocol)
                got.append(
                    Held(replace(binding, host_ip=host, host_port=port, host_port_end=0), sock if hold else None)
                )
                if not hold:
                    sock.close()
        except BaseException:
            for held in got:
                held.close()
            raise
        return got

    def _refuse_ours(self, host: str, port: int, protocol: str) -> None:
        # A long range is not held by sockets: the table must say no.
        hosts = self._hosts.get((port, protocol, ":" in host), set())
        if hosts and (host in hosts or host in _ANY or not hosts.isdisjoint(_ANY)):
            raise _OursAlready(errno.EADDRINUSE, "port is already allocated")


class _OursAlready(OSError):
    """Another container of this daemon has the port."""


def _key(binding: PortBinding) -> tuple[str, int, str]:
    return binding.host_ip, binding.host_port, binding.protocol


def _place(binding: PortBinding) -> tuple[int, str, bool]:
    return binding.host_port, binding.protocol, ":" in binding.host_ip


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _bind(host: str, port: int, protocol: str) -> socket.socket:
    """Take a port.  A TCP one listens: only that keeps others from sharing it by SO_REUSEADDR."""
    kind, number = _KINDS[protocol]
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        sock = socket.socket(family, kind | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, number)
    except OSError as error:
        if protocol == "sctp" and error.errno in (errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT):
            raise OSError(error.errno, "this host's kernel has no SCTP (CONFIG_IP_SCTP)") from None
        raise
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if protocol == "tcp":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        if protocol == "tcp":
            sock.listen(_BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def _ephemeral_ports() -> Iterator[int]:
    """Docker's way: through the host's range of ephemeral ports, round and round."""
    try:
        first, last = (int(word) for word in _EPHEMERAL.read_text().split())
    except (OSError, ValueError):
        first, last = 49153, 65535
    return itertools.cycle(range(first, last + 1))


# ── what the firewall is to do ─────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Target:
    """Where a container is reached, and whether directly (gateway mode routed)."""

    ipv4: IPv4Address | None = None
    ipv6: IPv6Address | None = None
    routed4: bool = False
    routed6: bool = False


def forwards(bindings: Iterable[PortBinding], target: Target) -> frozenset[Forward]:
    """The forwards of one container; neighbouring ports that keep their numbers become one range."""
    found: list[Forward] = []
    for binding in sorted(bindings, key=lambda each: (each.protocol, each.host_ip, each.host_port)):
        forward = _forward(binding, target)
        if forward is None:
            continue
        last = found[-1] if found else None
        if last is not None and _continues(last, forward):
            found[-1] = replace(last, last=forward.last)
        else:
            found.append(forward)
    return frozenset(found)


def _forward(binding: PortBinding, target: Target) -> Forward | None:
    if not binding.host_ip:
        raise Invalid("a binding must be resolved before it is forwarded")
    host = _address(binding.host_ip)
    container = target.ipv4 if host.version == 4 else target.ipv6
    if container is None:
        return None  # the proxy serves it
    direct = target.routed4 if host.version == 4 else target.routed6
    if direct:  # the host's ports play no part
        inner = binding.container_port
        return Forward(binding.protocol, None, inner, inner, container, inner, direct=True)
    port = binding.host_port
    where = None if host.is_unspecified else host
    return Forward(binding.protocol, where, port, port, container, binding.container_port)


def _continues(last: Forward, next_: Forward) -> bool:
    same = (last.protocol, last.host, last.container, last.direct) == (
        next_.protocol,
        next_.host,
        next_.container,
        next_.direct,
    )
    keeps_numbers = last.first == last.port and next_.first == next_.port
    return same and keeps_numbers and next_.first == last.last + 1
