"""EXPOSE's ``[ip:][host:]port[-port][/protocol]`` as "port/protocol" keys.  Pure."""

from __future__ import annotations

import ipaddress

from corten.build.dockerfile.go import quote
from corten.errors import Invalid

PROTOCOLS = frozenset({"tcp", "udp", "sctp"})
Range = tuple[int, int]


def split(text: str) -> tuple[str, str, str]:
    """Address, host port and container part."""
    parts = text.split(":")
    if len(parts) == 1:
        return "", "", parts[0]
    return ":".join(parts[:-2]), parts[-2], parts[-1]


def parse(text: str) -> list[str]:
    """The keys of ExposedPorts.  Raises Invalid in Docker's words."""
    address, host, container = split(text)
    port, _, protocol = container.partition("/")
    protocol = protocol or "tcp"
    if not port:
        raise Invalid(f"invalid port: {quote(text)}: no port specified")
    if protocol.lower() not in PROTOCOLS:
        raise Invalid(f"invalid port: {quote(text)}: invalid proto: {protocol}")
    if address:
        _check_address(address)
    first, last = _range(port, f"invalid containerPort: {port}")
    if host:
        low, high = _range(host, f"invalid hostPort: {host}")
        if high - low != last - first and first != last:
            raise Invalid(f"invalid ranges specified for container and host Ports: {port} and {host}")
    return [f"{number}/{protocol.lower()}" for number in range(first, last + 1)]


def _check_address(address: str) -> None:
    try:
        ipaddress.ip_address(address.removeprefix("[").removesuffix("]"))
    except ValueError:
        raise Invalid(f"invalid IP address: {address}") from None


def _range(text: str, complaint: str) -> Range:
    start, dash, end = text.partition("-")
    first = _number(start, complaint)
    last = _number(end, complaint) if dash else first
    if last < first:
        raise Invalid(complaint)
    return first, last


def _number(text: str, complaint: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 6 and int(text) <= 65535):
        raise Invalid(complaint)
    return int(text)
