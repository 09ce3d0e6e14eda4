"""``--publish`` and ``--expose``: ``[address:][host port or range:]container port or range[/protocol]``.

Owns: the grammar, ranges, Docker's words for refusing one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from corten.cli.values import is_address, pairs, split_csv
from corten.errors import Invalid

PROTOCOLS = frozenset({"tcp", "udp", "sctp"})


class Published(NamedTuple):
    """One container port and where it is published; an empty host port lets the daemon choose."""

    container: str  # 80/tcp
    address: str
    host: str


def parse(text: str) -> list[Published]:
    """The bindings that one ``--publish`` means; raises Invalid."""
    if "=" in text:
        text = _from_pairs(text)
    address, host, container = _split(text)
    container, slash, protocol = container.partition("/")
    protocol = protocol.lower() if slash else "tcp"
    if not container:
        raise Invalid(f"no port specified: {text}<empty>")
    if protocol not in PROTOCOLS:
        raise Invalid(f"invalid proto: {protocol}")
    first, last = port_range(container, "containerPort")
    if not host:
        return [Published(f"{port}/{protocol}", address, "") for port in range(first, last + 1)]
    host_first, host_last = port_range(host, "hostPort")
    if last - first == host_last - host_first:
        return [Published(f"{first + at}/{protocol}", address, str(host_first + at)) for at in range(last - first + 1)]
    if first != last:
        raise Invalid(f"invalid ranges specified for container and host Ports: {container} and {host}")
    # One container port and a range of the host: the daemon takes the first that is free.
    return [Published(f"{first}/{protocol}", address, f"{host_first}-{host_last}")]


def _split(text: str) -> tuple[str, str, str]:
    address, host, container = "", "", text
    if text.startswith("["):
        address, bracket, rest = text[1:].partition("]")
        if not bracket or not rest.startswith(":"):
            raise Invalid(f"invalid IP address: {text}")
        host, colon, container = rest[1:].partition(":")
        if not colon:
            host, container = "", host
    elif ":" in text:
        rest, _, container = text.rpartition(":")
        address, _, host = rest.rpartition(":")
    if address and not is_address(address.partition("%")[0]):
        raise Invalid(f"invalid IP address: {address}")
    return address, host, container


def _from_pairs(text: str) -> str:
    fields = pairs(split_csv(text))
    unknown = set(fields) - {"target", "published", "protocol", "mode"}
    if unknown or not fields.get("target"):
        raise Invalid(f"invalid publish opts format (should be name=value but got '{text}')")
    return f"{fields.get('published', '')}:{fields['target']}/{fields.get('protocol', 'tcp')}"


def port_range(text: str, what: str) -> tuple[int, int]:
    """``80`` or ``80-90``; raises Invalid."""
    first, dash, last = text.partition("-")
    last = last if dash else first
    if not all(part.isascii() and part.isdecimal() and int(part) < 65536 for part in (first, last)):
        raise Invalid(f"invalid {what}: {text}")
    if int(last) < int(first):
        raise Invalid(f"invalid {what}: {text}")
    return int(first), int(last)


def bindings(words: Iterable[str]) -> dict[str, list[dict[str, str]]]:
    """PortBindings of the API."""
    found: dict[str, list[dict[str, str]]] = {}
    for word in words:
        for port in parse(word):
            found.setdefault(port.container, []).append({"HostIp": port.address, "HostPort": port.host})
    return found


def exposed(words: Iterable[str], published: Iterable[str]) -> dict[str, dict[str, str]]:
    """ExposedPorts of the API: those of ``--expose`` and all that are published."""
    found: dict[str, dict[str, str]] = {port: {} for port in published}
    for word in words:
        if ":" in word:
            raise Invalid(f"invalid port format for --expose: {word}")
        numbers, slash, protocol = word.partition("/")
        protocol = protocol.lower() if slash else "tcp"
        if protocol not in PROTOCOLS:
            raise Invalid(f"invalid proto: {protocol}")
        try:
            first, last = port_range(numbers, "containerPort")
        except Invalid as error:
            raise Invalid(f"invalid range format for --expose: {numbers}, error: {error}") from error
        for port in range(first, last + 1):
            found.setdefault(f"{port}/{protocol}", {})
    return found
