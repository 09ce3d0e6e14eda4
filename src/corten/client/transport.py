"""A connected socket to an address: unix, TCP, TLS, or a pipe through ssh.

Owns: dialling and the words of the failure to reach a daemon.
Knows nothing of HTTP (http1.py) or of starting a daemon (autostart.py).
"""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING

from corten.errors import Invalid, Unavailable

if TYPE_CHECKING:
    from corten.client.address import Address, Tls

TIMEOUT = 30.0

# What runs at the far end of ssh: whichever of the two clients is there joins its stdio to the daemon's socket.
_REMOTE = (
    "sh -c 'if command -v corten >/dev/null 2>&1; then exec corten {at}system dial-stdio; "
    "else exec docker {at}system dial-stdio; fi'"
)


class NoDaemon(Unavailable):
    """Nothing answers at the address."""

    def __init__(self, address: Address, why: str = "") -> None:
        super().__init__(f"Cannot connect to the Corten daemon at {address}. Is cortend running?")
        self.address = address
        self.why = why


def dial(address: Address) -> socket.socket:
    """Connect; raises NoDaemon where nothing listens, Unavailable for other failures."""
    if address.kind == "unix":
        return _dial_unix(address)
    if address.kind == "ssh":
        return _dial_ssh(address)
    try:
        connection = socket.create_connection((address.host, address.port), timeout=TIMEOUT)
    except OSError as error:
        raise NoDaemon(address, str(error)) from error
    connection.settimeout(None)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return _wrap(connection, address, address.tls) if address.tls else connection


def _dial_unix(address: Address) -> socket.socket:
    if not hasattr(socket, "AF_UNIX"):
        raise Unavailable(
            "this system has no unix sockets: name a daemon with -H or CORTEN_HOST",
            hint="for example: corten -H ssh://user@host ps",
        )
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(address.path)
    except PermissionError as error:
        connection.close()
        raise Unavailable(
            f"permission denied while trying to connect to the Corten daemon socket at {address}",
            hint="Run the command as root, or join the group that owns the socket.",
        ) from error
    except OSError as error:
        connection.close()
        raise NoDaemon(address, error.strerror or str(error)) from error
    return connection


def _wrap(connection: socket.socket, address: Address, tls: Tls) -> socket.socket:
    import ssl  # noqa: PLC0415  12 ms, wanted by few

    try:
        context = ssl.create_default_context(cafile=tls.ca or None)
        if not tls.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if tls.certificate:
            context.load_cert_chain(tls.certificate, tls.key or None)
    except OSError as error:  # SSLError is one
        raise Invalid(f"could not load the TLS files: {error}") from error
    try:
        return context.wrap_socket(connection, server_hostname=address.host)
    except OSError as error:
        connection.close()
        raise Unavailable(f"error during connect: {address}: {error}") from error


def ssh_command(address: Address) -> list[str]:
    """The command whose standard input and output are the connection."""
    command = ["ssh", "-o", "ConnectTimeout=30", "-T"]
    if address.user:
        command += ["-l", address.user]
    if address.port:
        command += ["-p", str(address.port)]
    at = f"-H unix://{address.path} " if address.path else ""
    return [*command, "--", address.host, _REMOTE.format(at=at)]


def _dial_ssh(address: Address) -> socket.socket:
    import subprocess  # noqa: PLC0415  15 ms, wanted by few

    if sys.platform == "win32":
        raise Unavailable("ssh:// needs a system with unix sockets; use tcp:// with TLS here")
    if any(character in address.path for character in "'\"\\$` \n"):
        raise Invalid(f"ssh host connection is not valid: path {address.path!r}")
    ours, theirs = socket.socketpair()
    try:
        # Its own session: a Ctrl-C meant for the container must not cut the line to the daemon.
        stream = theirs.fileno()
        subprocess.Popen(ssh_command(address), stdin=stream, stdout=stream, start_new_session=True)
    except OSError as error:
        ours.close()
        raise Unavailable(f"could not run ssh: {error}", hint="Is an ssh client installed?") from error
    finally:
        theirs.close()
    return ours
