"""Where the daemon listens: ``unix://``, ``tcp://`` with and without TLS, ``fd://``.

Owns: opening listening sockets with the right owner and mode, TLS contexts, and the refusal of a TCP port that would
give the whole machine to whoever can reach it.  Knows nothing of HTTP.
"""

from __future__ import annotations

import contextlib
import grp
import ipaddress
import logging
import os
import socket
import ssl
import stat
from dataclasses import dataclass
from pathlib import Path

from corten.daemon.config import Config
from corten.errors import Conflict, Denied, Invalid

log = logging.getLogger(__name__)

_GROUPS = ("corten", "docker")
_TCP_PORT, _TLS_PORT, _WEBHOOK_PORT = 2375, 2376, 2380
_FIRST_PASSED_FD = 3


@dataclass(frozen=True, slots=True)
class Listener:
    """An open listening socket and the TLS that it speaks, if any."""

    url: str
    socket: socket.socket
    tls: ssl.SSLContext | None = None


def open_all(config: Config) -> list[Listener]:
    """Listeners for every host; none is left open if one fails."""
    with contextlib.ExitStack() as undo:
        listeners = []
        for url in config.hosts:
            for listener in _open(url, config):
                undo.callback(listener.socket.close)
                listeners.append(listener)
        undo.pop_all()
    return listeners


def _open(url: str, config: Config) -> list[Listener]:
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = ("unix", url) if url.startswith("/") else ("tcp", url)
    match scheme:
        case "unix":
            return [Listener(url, _unix(Path(rest or "/run/corten/corten.sock"), config.group))]
        case "tcp":
            return [_tcp(url, rest, config)]
        case "fd":
            return [Listener(url, sock) for sock in _passed()]
    raise Invalid(f"Invalid bind address format: {url}")


def _unix(path: Path, group: str) -> socket.socket:
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(path.stat().st_mode):
            _refuse_if_answered(path)
            path.unlink()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    # The mode is right from the first moment: between bind and chmod nobody may slip in.
    before = os.umask(0o117)
    try:
        sock.bind(str(path))
    finally:
        os.umask(before)
    os.chown(path, 0 if os.geteuid() == 0 else -1, _group_id(group))
    sock.listen(1024)
    return sock


def _refuse_if_answered(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        if probe.connect_ex(str(path)) == 0:
            raise Conflict(f"another daemon is listening on {path}")


def _group_id(group: str) -> int:
    if group.isdecimal():
        return int(group)
    for name in (group,) if group else _GROUPS:
        try:
            return grp.getgrnam(name).gr_gid
        except KeyError:
            if group:
                raise Invalid(f"group {group} not found") from None
    return -1


def _tcp(url: str, rest: str, config: Config) -> Listener:
    host, port = _address(rest, _TLS_PORT if config.tls or config.tls_verify else _TCP_PORT)
    context = _tls(config)
    if context is None:
        if not _is_loopback(host):
            raise Denied(
                f"refusing to listen on {url} without TLS: anyone who can reach it would be root on this machine",
                hint="use --tlsverify with --tlscacert, --tlscert and --tlskey, ssh:// from the client, or 127.0.0.1",
            )
        log.warning("listening on %s without TLS: every local user can become root through it", url)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.create_server((host, port), family=family, backlog=1024)
    sock.setblocking(False)
    return Listener(url, sock, context)


def open_webhook(config: Config) -> Listener:
    """The listener of ``--watch-listen``: with TLS where there is a certificate, and never asking for the caller's."""
    host, port = _address(config.watch_listen, _WEBHOOK_PORT)
    context = None
    if config.tls_cert and config.tls_key:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(config.tls_cert, config.tls_key)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.create_server((host, port), family=family)
    sock.setblocking(False)
    return Listener(config.watch_listen, sock, context)


def webhook_token(config: Config) -> str:
    """What webhooks must bear; raises Invalid if it cannot be read."""
    path = config.watch_token_file or Path()
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"cannot read the webhooks' token in {path}: {error}") from error
    if not token:
        raise Invalid(f"the webhooks' token in {path} is empty")
    return token


def _address(rest: str, default_port: int) -> tuple[str, int]:
    host, colon, port = rest.rpartition(":")
    if not colon or rest.endswith("]"):
        host, port = rest, str(default_port)
    try:
        return host.strip("[]") or "127.0.0.1", int(port)
    except ValueError:
        raise Invalid(f"Invalid bind address format: tcp://{rest}") from None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _tls(config: Config) -> ssl.SSLContext | None:
    if not (config.tls or config.tls_verify):
        return None
    if not (config.tls_cert and config.tls_key):
        raise Invalid("TLS needs --tlscert and --tlskey")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(config.tls_cert, config.tls_key)
    if config.tls_verify:
        if not config.tls_ca:
            raise Invalid("--tlsverify needs --tlscacert")
        context.load_verify_locations(config.tls_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _passed() -> list[socket.socket]:
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        raise Invalid("fd:// needs sockets passed by systemd (LISTEN_PID does not name this process)")
    sockets = []
    for fd in range(_FIRST_PASSED_FD, _FIRST_PASSED_FD + int(os.environ.get("LISTEN_FDS", "0"))):
        sock = socket.socket(fileno=fd)
        sock.setblocking(False)
        sockets.append(sock)
    return sockets
