"""Where the daemon is: ``unix://``, ``tcp://``, ``ssh://`` and the TLS files that go with it.

Owns: the grammar of a host address and which of flag, context, environment and default wins.
Opens nothing; for that read transport.py.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

from corten.errors import Invalid

DEFAULT_SOCKET = "/run/corten/corten.sock"
DEFAULT_PORT = 2375
DEFAULT_TLS_PORT = 2376


class Tls(NamedTuple):
    """The files of a TLS connection; empty where not given."""

    ca: str = ""
    certificate: str = ""
    key: str = ""
    verify: bool = True


class Address(NamedTuple):
    """A place where a daemon may answer."""

    kind: str  # unix, tcp, ssh
    path: str = ""  # of a unix socket; for ssh the remote socket, empty for the remote default
    host: str = ""
    port: int = 0
    user: str = ""
    tls: Tls | None = None
    is_default: bool = False

    def __str__(self) -> str:
        if self.kind == "unix":
            return f"unix://{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        user = f"{self.user}@" if self.user else ""
        port = f":{self.port}" if self.port else ""
        return f"{self.kind}://{user}{host}{port}{self.path}"

    @classmethod
    def parse(cls, text: str, tls: Tls | None = None) -> Address:
        """Read an address as ``-H`` and DOCKER_HOST take it; raises Invalid."""
        scheme, separator, rest = text.strip().partition("://")
        if not separator:
            # docker: -H 127.0.0.1:2375 and -H :2375 mean TCP
            scheme, rest = "tcp", text.strip()
        if scheme == "unix":
            return cls("unix", path=rest or DEFAULT_SOCKET)
        if scheme in ("tcp", "http", "https"):
            host, port = _host_port(rest.partition("/")[0], text)
            secure = tls or (Tls() if scheme == "https" else None)
            return cls("tcp", host=host or "localhost", port=port or _default_port(secure), tls=secure)
        if scheme == "ssh":
            return _ssh(rest, text)
        raise Invalid(f"unable to parse docker host `{text}`: the schemes are unix://, tcp:// and ssh://")


def _default_port(tls: Tls | None) -> int:
    return DEFAULT_TLS_PORT if tls else DEFAULT_PORT


def _ssh(rest: str, text: str) -> Address:
    place, slash, path = rest.partition("/")
    user, at, place = place.rpartition("@")
    if ":" in user:
        raise Invalid("ssh connection helper: plain-text password is not supported")
    host, port = _host_port(place, text)
    if not host:
        raise Invalid(f"ssh host connection is not valid: no host specified in {text!r}")
    if host.startswith("-") or user.startswith("-"):
        raise Invalid(f"ssh host connection is not valid: {text!r}")
    return Address("ssh", path=slash + path if path else "", host=host, port=port, user=user if at else "")


def _host_port(place: str, text: str) -> tuple[str, int]:
    if place.startswith("["):
        host, bracket, port = place[1:].partition("]")
        if not bracket:
            raise Invalid(f"invalid host address: {text!r}: missing ']'")
        port = port.removeprefix(":")
    else:
        host, _, port = place.partition(":")
    if not port:
        return host, 0
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise Invalid(f"invalid host address: {text!r}: bad port")
    return host, int(port)


def tls_from_environment(environ: Mapping[str, str], config: str) -> Tls | None:
    """What DOCKER_TLS, DOCKER_TLS_VERIFY and DOCKER_CERT_PATH ask for; ``config`` holds the files by default."""
    verify = bool(environ.get("DOCKER_TLS_VERIFY"))
    if not verify and not environ.get("DOCKER_TLS"):
        return None
    return tls_files(environ.get("DOCKER_CERT_PATH") or config, verify=verify)


def tls_files(folder: str, *, verify: bool, ca: str = "", certificate: str = "", key: str = "") -> Tls:
    """The named files, or ca.pem, cert.pem and key.pem of a folder where those exist."""
    return Tls(
        ca or _existing(folder, "ca.pem"),
        certificate or _existing(folder, "cert.pem"),
        key or _existing(folder, "key.pem"),
        verify,
    )


def _existing(folder: str, name: str) -> str:
    path = os.path.join(folder, name)
    return path if os.path.exists(path) else ""


def default() -> Address:
    """Where our own daemon listens unless told otherwise."""
    return Address("unix", path=DEFAULT_SOCKET, is_default=True)


def from_environment(environ: Mapping[str, str], config: str) -> Address | None:
    """CORTEN_HOST, else DOCKER_HOST, with the TLS variables; None where neither is set."""
    host = environ.get("CORTEN_HOST") or environ.get("DOCKER_HOST")
    if not host:
        return None
    address = Address.parse(host, tls_from_environment(environ, config))
    return address._replace(is_default=address.kind == "unix" and address.path == DEFAULT_SOCKET)
