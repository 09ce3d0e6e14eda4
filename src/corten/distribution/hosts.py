"""Which hosts to ask for a registry, in what order, and how far to trust each.  Pure.

Owns: Host and hosts_of().  Mirrors come first, the registry itself last.  Insecure registries are tried by TLS
without verification, then by plain HTTP, as Docker does; loopback addresses are insecure without being named.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from corten.distribution.model import RegistryConfig
from corten.errors import Invalid
from corten.spec.reference import DEFAULT_REGISTRY

HUB_HOST = "registry-1.docker.io"


@dataclass(frozen=True, slots=True)
class Host:
    """One way to a registry."""

    url: str  # scheme://host[:port][/prefix], no slash at the end
    registry: str  # whose content it serves
    verify: bool = True
    is_mirror: bool = False

    @property
    def name(self) -> str:
        """host[:port]"""
        return urlsplit(self.url).netloc


def hosts_of(registry: str, config: RegistryConfig, *, push: bool = False) -> list[Host]:
    """The hosts to ask, best first; pushes go to the registry itself only."""
    hosts = [] if push else [_mirror(url, registry, config) for url in _mirrors(registry, config)]
    name = HUB_HOST if registry == DEFAULT_REGISTRY else registry
    if is_insecure(name, config.insecure):
        return [*hosts, Host(f"https://{name}", registry, verify=False), Host(f"http://{name}", registry, verify=False)]
    return [*hosts, Host(f"https://{name}", registry)]


def is_insecure(host: str, insecure: Iterable[str]) -> bool:
    """Whether ``host`` (``name[:port]``) may be reached without verified TLS."""
    name = urlsplit(f"//{host}").hostname or ""
    if name == "localhost":
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        address = None
    if address is not None and address.is_loopback:
        return True
    for entry in insecure:
        if entry in (host, name):
            return True
        if address is not None and "/" in entry and address in _network(entry):
            return True
    return False


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise Invalid(f"insecure registry {text!r} is not valid: {error}") from error


def _mirrors(registry: str, config: RegistryConfig) -> tuple[str, ...]:
    return (*config.mirrors.get(registry, ()), *config.mirrors.get("*", ()))


def _mirror(url: str, registry: str, config: RegistryConfig) -> Host:
    parts = urlsplit(url if "://" in url else f"https://{url}")
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
        raise Invalid(f"invalid mirror: {url!r} is not a URL of a registry")
    base = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
    return Host(base, registry, verify=not is_insecure(parts.netloc, config.insecure), is_mirror=True)
