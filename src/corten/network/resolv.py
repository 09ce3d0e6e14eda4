"""The files by which a container's libc finds names: /etc/hosts and /etc/resolv.conf.

Owns: their text, as Docker writes it, and the reading of the host's resolv.conf.  Pure but for ``host_resolv_conf``.
Names of other containers are answered by ``resolver.py`` at 127.0.0.11.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

EMBEDDED = "127.0.0.11"
# docker: where the host has no server that a container could reach.
DEFAULT_SERVERS = ("8.8.8.8", "8.8.4.4")
_HOST = Path("/etc/resolv.conf")
_SYSTEMD_STUB = "127.0.0.53"
_SYSTEMD_UPSTREAM = Path("/run/systemd/resolve/resolv.conf")
_STANDARD_HOSTS = (
    ("127.0.0.1", "localhost"),
    ("::1", "localhost ip6-localhost ip6-loopback"),
    ("fe00::0", "ip6-localnet"),
    ("ff00::0", "ip6-mcastprefix"),
    ("ff02::1", "ip6-allnodes"),
    ("ff02::2", "ip6-allrouters"),
)


@dataclass(frozen=True, slots=True)
class ResolvConf:
    """What resolv.conf(5) says.  The last ``search`` or ``domain`` line counts, as in libc."""

    servers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> ResolvConf:
        servers: list[str] = []
        search: tuple[str, ...] = ()
        options: list[str] = []
        for line in text.splitlines():
            words = line.split("#", 1)[0].split(";", 1)[0].split()
            if len(words) < 2:
                continue
            keyword, *values = words
            if keyword == "nameserver" and is_address(values[0]):
                servers.append(values[0])
            elif keyword in ("search", "domain"):
                search = tuple(values if keyword == "search" else values[:1])
            elif keyword == "options":
                options += values
        return cls(tuple(servers), search, tuple(options))

    def __str__(self) -> str:
        lines = [f"nameserver {server}" for server in self.servers]
        if self.search:
            lines.append("search " + " ".join(self.search))
        if self.options:
            lines.append("options " + " ".join(self.options))
        return "\n".join(lines) + "\n" if lines else ""


def is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def is_loopback(server: str) -> bool:
    return ip_address(server).is_loopback


def host_resolv_conf(path: Path = _HOST) -> str:
    """The host's file; behind systemd-resolved's stub, which no container can reach, the one with the real servers."""
    try:
        text = path.read_text(errors="surrogateescape")
    except OSError:
        return ""
    if ResolvConf.parse(text).servers == (_SYSTEMD_STUB,) and path == _HOST:
        try:
            return _SYSTEMD_UPSTREAM.read_text(errors="surrogateescape")
        except OSError:
            return text
    return text


def resolv_conf(
    host_text: str,
    *,
    dns: Sequence[str] = (),
    search: Sequence[str] = (),
    options: Sequence[str] = (),
    embedded: bool = False,
) -> str:
    """Write a container's file.  docker: what is given replaces what the host has; a search of "." means none."""
    host = ResolvConf.parse(host_text)
    wanted_search = tuple(search) or host.search
    wanted_options = tuple(options) or host.options
    if embedded:
        servers: tuple[str, ...] = (EMBEDDED,)
        # docker: dots decide nothing, the embedded server is asked for the name as it is first.
        if not any(option.startswith("ndots:") for option in wanted_options):
            wanted_options = (*wanted_options, "ndots:0")
    else:
        servers = tuple(dns) or tuple(server for server in host.servers if not is_loopback(server)) or DEFAULT_SERVERS
    if "." in wanted_search:
        wanted_search = ()
    return str(ResolvConf(servers, wanted_search, wanted_options))


def upstream_servers(host_text: str, dns: Sequence[str] = ()) -> tuple[str, ...]:
    """Where the embedded server forwards to.  It asks from the host, so the host's loopback servers are good."""
    return tuple(dns) or ResolvConf.parse(host_text).servers or DEFAULT_SERVERS


def hosts_file(own: Iterable[tuple[str, str]], extra: Iterable[tuple[str, str]] = ()) -> str:
    """Write /etc/hosts: the standard lines, ``extra`` (name, address), then ``own`` (address, names)."""
    lines = [f"{address}\t{names}" for address, names in _STANDARD_HOSTS]
    lines += [f"{address}\t{name}" for name, address in extra]
    lines += [f"{address}\t{names}" for address, names in own]
    return "\n".join(lines) + "\n"
