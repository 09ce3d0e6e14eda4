"""Values of the network package: networks, endpoints and port bindings.

Owns: the frozen records, their JSON form in the facts store, and the validation of single values.  Knows nothing of
links, rules or Docker's wire shapes.  Read next: ``pools.py`` for addresses, ``service.py`` for the operations.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)
from typing import Any

from corten.errors import Invalid

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network
IPInterface = IPv4Interface | IPv6Interface

PREDEFINED = frozenset({"bridge", "host", "none"})
_MAC = re.compile(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}")

# docker: the options of its bridge driver, by the names in its documentation.
OPTION_BRIDGE_NAME = "com.docker.network.bridge.name"
OPTION_MASQUERADE = "com.docker.network.bridge.enable_ip_masquerade"
OPTION_ICC = "com.docker.network.bridge.enable_icc"
OPTION_HOST_BINDING = "com.docker.network.bridge.host_binding_ipv4"
OPTION_MTU = "com.docker.network.driver.mtu"
OPTION_INTERFACE_PREFIX = "com.docker.network.container_iface_prefix"
OPTION_INTERFACE_NAME = "com.docker.network.endpoint.ifname"
OPTION_HOST_IPV4 = "com.docker.network.host_ipv4"
OPTION_HOST_IPV6 = "com.docker.network.host_ipv6"
OPTION_GATEWAY_MODE4 = "com.docker.network.bridge.gateway_mode_ipv4"
OPTION_GATEWAY_MODE6 = "com.docker.network.bridge.gateway_mode_ipv6"
OPTION_DEFAULT_BRIDGE = "com.docker.network.bridge.default_bridge"


@dataclass(frozen=True, slots=True)
class IpamConfig:
    """One subnet of a network: what is handed out, who routes, what is kept back."""

    subnet: IPNetwork
    ip_range: IPNetwork | None = None
    gateway: IPAddress | None = None
    aux: Mapping[str, IPAddress] = field(default_factory=dict)

    @classmethod
    def parse(
        cls, subnet: str, ip_range: str = "", gateway: str = "", aux: Mapping[str, str] | None = None
    ) -> IpamConfig:
        """Read the four strings of a request; raises Invalid in Docker's words."""
        try:
            network = ip_network(subnet, strict=False)
        except ValueError:
            raise Invalid(f"invalid subnet {subnet}: invalid CIDR block notation") from None
        if ip_address(subnet.partition("/")[0]) != network.network_address:
            raise Invalid(f"invalid subnet {subnet}: it should be {network}")
        wanted_range = None
        if ip_range:
            try:
                wanted_range = ip_network(ip_range, strict=False)
            except ValueError:
                raise Invalid(f"invalid ip-range {ip_range}: invalid CIDR block notation") from None
            if wanted_range.version != network.version or not wanted_range.subnet_of(network):  # type: ignore[arg-type]
                raise Invalid(f"invalid ip-range {ip_range}: parent subnet {network} doesn't contain ip-range")
        return cls(
            subnet=network,
            ip_range=wanted_range,
            gateway=_member(gateway, network, "gateway") if gateway else None,
            aux={name: _member(text, network, "auxiliary address") for name, text in (aux or {}).items()},
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "subnet": str(self.subnet),
            "ip_range": str(self.ip_range) if self.ip_range else "",
            "gateway": str(self.gateway) if self.gateway else "",
            "aux": {name: str(address) for name, address in self.aux.items()},
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> IpamConfig:
        return cls.parse(body["subnet"], body["ip_range"], body["gateway"], body["aux"])


def _member(text: str, network: IPNetwork, what: str) -> IPAddress:
    try:
        address = ip_address(text)
    except ValueError:
        raise Invalid(f"invalid {what} {text}: invalid address") from None
    if address not in network:
        raise Invalid(f"invalid {what} {text}: parent subnet {network} doesn't contain this address")
    return address


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """What a user asks for; ``Networking.create`` fills in what is missing."""

    name: str
    driver: str = "bridge"
    ipam: tuple[IpamConfig, ...] = ()
    ipam_driver: str = "default"
    ipam_options: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    internal: bool = False
    attachable: bool = False
    enable_ipv4: bool = True
    enable_ipv6: bool = False
    config_only: bool = False
    config_from: str = ""

    def validate(self) -> None:
        """Refuse what no driver could do."""
        # docker: any name but an empty one, blanks included.
        if not self.name.strip():
            raise Invalid("invalid name: name is empty")
        if self.ipam_driver not in ("default", "null", ""):
            raise Invalid(f"ipam driver {self.ipam_driver!r} not found: only 'default' and 'null' exist")
        if not self.enable_ipv4 and not self.enable_ipv6 and self.driver == "bridge":
            raise Invalid("IPv4 or IPv6 must be enabled")


@dataclass(frozen=True, slots=True)
class Network:
    """A network as it exists."""

    id: str
    name: str
    driver: str
    created: float
    ipam: tuple[IpamConfig, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    internal: bool = False
    attachable: bool = False
    enable_ipv4: bool = True
    enable_ipv6: bool = False
    bridge: str = ""
    ipam_driver: str = "default"
    ipam_options: Mapping[str, str] = field(default_factory=dict)
    user_subnets: bool = False  # docker: static addresses are allowed only where the user chose the subnets
    config_only: bool = False
    config_from: str = ""

    @property
    def is_predefined(self) -> bool:
        return self.name in PREDEFINED

    @property
    def has_names(self) -> bool:
        """Containers find one another by name (everywhere but on the default bridge, host and none)."""
        return not self.is_predefined

    @property
    def is_masqueraded(self) -> bool:
        return self.flag(OPTION_MASQUERADE, True) and not self.internal

    @property
    def allows_icc(self) -> bool:
        return self.flag(OPTION_ICC, True)

    def gateway_mode(self, version: int) -> str:
        return gateway_mode(self.options, version)

    def flag(self, option: str, default: bool) -> bool:
        return parse_flag(option, self.options[option]) if self.options.get(option) else default

    def mtu(self, default: int) -> int:
        text = self.options.get(OPTION_MTU, "")
        return parse_mtu(text) if text else default

    def subnets(self, version: int) -> list[IpamConfig]:
        return [config for config in self.ipam if config.subnet.version == version]

    def to_json(self) -> dict[str, Any]:
        body = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return body | {
            "ipam": [config.to_json() for config in self.ipam],
            **{name: dict(body[name]) for name in ("options", "labels", "ipam_options")},
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Network:
        return cls(**{**body, "ipam": tuple(IpamConfig.from_json(each) for each in body["ipam"])})


def gateway_mode(options: Mapping[str, str], version: int) -> str:
    """How the containers of a bridge and the world reach one another."""
    return options.get(OPTION_GATEWAY_MODE4 if version == 4 else OPTION_GATEWAY_MODE6, "") or "nat"


def parse_flag(option: str, text: str) -> bool:
    """Read a boolean as Go's strconv.ParseBool does."""
    if text in ("1", "t", "T", "true", "TRUE", "True"):
        return True
    if text in ("0", "f", "F", "false", "FALSE", "False"):
        return False
    raise Invalid(f"failed to parse {option} value: {text!r} is not a boolean")


def parse_mtu(text: str) -> int:
    if not text.isdecimal() or not 68 <= int(text) <= 65535:
        raise Invalid(f"failed to parse {OPTION_MTU} value: {text!r} (want 68 to 65535)")
    return int(text)


@dataclass(frozen=True, slots=True)
class EndpointSpec:
    """How a container wants to join a network."""

    container_name: str = ""
    ipv4: str = ""
    ipv6: str = ""
    mac: str = ""
    aliases: tuple[str, ...] = ()
    links: tuple[tuple[str, str], ...] = ()  # (container name or id, alias), seen by this container only
    gw_priority: int = 0
    driver_opts: Mapping[str, str] = field(default_factory=dict)
    hostname: str = ""
    dns: tuple[str, ...] = ()  # servers that the embedded DNS forwards to; empty: the host's

    def validate(self) -> None:
        if self.mac and not _MAC.fullmatch(self.mac):
            raise Invalid(f"invalid MAC address: {self.mac}")
        for text, version in ((self.ipv4, 4), (self.ipv6, 6)):
            try:
                if text and ip_address(text).version != version:
                    raise ValueError
            except ValueError:
                raise Invalid(f"invalid IPv{version} address: {text}") from None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A container's join to a network.  ``link`` is the host's end, ``interface`` the one inside."""

    id: str
    network_id: str
    network_name: str
    container_id: str
    container_name: str
    interface: str
    link: str
    mac: str
    ipv4: IPv4Interface | None = None
    ipv6: IPv6Interface | None = None
    gateway4: IPv4Address | None = None
    gateway6: IPv6Address | None = None
    aliases: tuple[str, ...] = ()
    dns_names: tuple[str, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    gw_priority: int = 0
    driver_opts: Mapping[str, str] = field(default_factory=dict)
    dns: tuple[str, ...] = ()
    plugged: bool = False

    def to_json(self) -> dict[str, Any]:
        body = {name: getattr(self, name) for name in self.__dataclass_fields__}  # asdict() copies deeply: slow
        for name in ("ipv4", "ipv6", "gateway4", "gateway6"):
            body[name] = str(body[name]) if body[name] is not None else None
        return body | {"driver_opts": dict(self.driver_opts)}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Endpoint:
        values = dict(body)
        for name in ("aliases", "dns_names", "dns"):
            values[name] = tuple(values[name])
        values["links"] = tuple((name, alias) for name, alias in values["links"])
        for name, read in (("ipv4", ip_interface), ("ipv6", ip_interface), ("gateway4", ip_address)):
            values[name] = read(values[name]) if values[name] else None
        values["gateway6"] = ip_address(values["gateway6"]) if values["gateway6"] else None
        return cls(**values)

    def evolve(self, **changes: Any) -> Endpoint:
        return replace(self, **changes)


@dataclass(frozen=True, slots=True)
class PortBinding:
    """A host address and port that lead to a port of a container.

    ``host_ip`` empty means every address of the host; ``host_port`` 0 means any free one; ``host_port_end`` above
    ``host_port`` means any free one of that range (Docker's ``-p 8000-8010:80``).
    """

    container_port: int
    protocol: str = "tcp"
    host_ip: str = ""
    host_port: int = 0
    host_port_end: int = 0

    def validate(self) -> None:
        if self.protocol not in ("tcp", "udp", "sctp"):
            raise Invalid(f"invalid protocol: {self.protocol}")
        if not 0 < self.container_port < 65536 or not 0 <= self.host_port < 65536:
            raise Invalid(f"invalid port specification: {self.host_port}:{self.container_port}/{self.protocol}")
        if self.host_port_end and not self.host_port <= self.host_port_end < 65536:
            raise Invalid(f"invalid port range: {self.host_port}-{self.host_port_end}")
        if self.host_ip and not _is_address(self.host_ip):
            raise Invalid(f"invalid IP address: {self.host_ip}")

    def __str__(self) -> str:
        host = f"[{self.host_ip}]" if ":" in self.host_ip else self.host_ip or "0.0.0.0"
        return f"{host}:{self.host_port}->{self.container_port}/{self.protocol}"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> PortBinding:
        return cls(**body)


@functools.lru_cache(256)
def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def mac_for(address: IPv4Address) -> str:
    """Docker's MAC address of a container: 02:42 and the four bytes of its IPv4 address."""
    return ":".join(f"{byte:02x}" for byte in b"\x02\x42" + address.packed)
