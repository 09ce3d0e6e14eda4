"""Requests to one daemon: version negotiation, JSON in and out, streams, hijacked connections.

Owns: connections (kept and used again), what an answer of status 400 and up becomes.
Knows nothing of containers or images; commands name the path.  Safe to use from several threads.
"""

from __future__ import annotations

import json
import os
import select
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from corten import __version__
from corten.api import faults
from corten.client import http1, transport
from corten.client.address import Address
from corten.errors import CortenError, Unavailable

# What api.version.CURRENT prints (a test holds them together): that module's dataclasses would cost each start 18 ms.
API_VERSION = "1.50"
BLOCK = 256 * 1024

Query = Mapping[str, Any]
Body = bytes | Iterable[bytes] | None


class Server(NamedTuple):
    """What ``/_ping`` told."""

    version: str
    os_type: str


class Tunnel(NamedTuple):
    """A connection that left HTTP behind: the socket, what was already read from it, and the kind of stream."""

    connection: socket.socket
    early: bytes
    content_type: str


class Response:
    """An answer whose body is read as it comes."""

    def __init__(self, session: Session, connection: socket.socket, parser: http1.ResponseParser) -> None:
        self._session = session
        self._connection: socket.socket | None = connection
        self._parser = parser
        while parser.head is None:
            self._receive()
        self.head = parser.head

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.head.status

    def _receive(self) -> None:
        assert self._connection is not None
        try:
            data = self._connection.recv(BLOCK)
        except OSError as error:
            raise Unavailable(f"error during connect: {error.strerror or error}") from error
        if data:
            self._parser.feed(data)
        else:
            self._parser.end()

    def pieces(self) -> Iterator[bytes]:
        """The body, as it arrives; what came together is given together."""
        try:
            while True:
                if pieces := self._parser.take():
                    yield pieces[0] if len(pieces) == 1 else b"".join(pieces)
                if self._parser.is_done:
                    break
                self._receive()
        finally:
            self.close()

    def read(self) -> bytes:
        """The whole body."""
        return b"".join(self.pieces())

    def json(self) -> Any:
        """The whole body as JSON; None where it is empty."""
        data = self.read()
        return json.loads(data) if data else None

    def objects(self) -> Iterator[Any]:
        """JSON objects that follow one another, each as soon as it is complete."""
        buffer = b""
        for piece in self.pieces():
            buffer += piece
            *lines, buffer = buffer.split(b"\n")
            for line in lines:
                if line.strip():
                    yield from _values(line)
        if buffer.strip():
            yield from _values(buffer)

    def tunnel(self) -> Tunnel:
        """The bare connection, after an upgrade."""
        assert self._connection is not None
        connection, self._connection = self._connection, None
        return Tunnel(connection, b"".join(self._parser.take()), self.head.headers.get("content-type", ""))

    def close(self) -> None:
        """Give the connection back, or close it if the body was not read to its end."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._session.give_back(connection, self._parser)


def _values(line: bytes) -> Iterator[Any]:
    text = line.decode("utf-8", "replace").strip()
    at = 0
    while at < len(text):
        value, at = json.JSONDecoder().raw_decode(text, at)
        yield value
        while at < len(text) and text[at] in " \t\r":
            at += 1


class Session:
    """A daemon to talk to.  Connects at the first request."""

    def __init__(
        self,
        address: Address,
        *,
        headers: Mapping[str, str] | None = None,
        start: Callable[[transport.NoDaemon], socket.socket] | None = None,
    ) -> None:
        self.address = address
        self._headers = dict(headers or {})
        self._start = start
        self._idle: list[socket.socket] = []
        self._server: Server | None = None

    # -- connections -------------------------------------------------------------------------------------------

    def _connect(self) -> tuple[socket.socket, bool]:
        """A connection, and whether it has been used before."""
        while self._idle:
            connection = self._idle.pop()
            # Readable between requests means that the daemon closed it.
            if not select.select([connection], [], [], 0)[0]:
                return connection, True
            connection.close()
        try:
            return transport.dial(self.address), False
        except transport.NoDaemon as error:
            if self._start is None:
                raise
            return self._start(error), False

    def give_back(self, connection: socket.socket, parser: http1.ResponseParser) -> None:
        """Keep a connection for the next request if it can carry one."""
        if parser.reusable:
            self._idle.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            self._idle.pop().close()

    # -- versions ----------------------------------------------------------------------------------------------

    def server(self) -> Server:
        """Ask once which version the daemon speaks, and settle on one."""
        if self._server is None:
            response = self._send("HEAD", "/_ping", {}, None, hijack=False)
            response.read()
            headers = response.head.headers
            self._server = Server(_settle(headers.get("api-version", "")), headers.get("ostype", "linux"))
        return self._server

    # -- requests ----------------------------------------------------------------------------------------------

    def request(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        body: Body = None,
        headers: Mapping[str, str] | None = None,
        *,
        hijack: bool = False,
    ) -> Response:
        """Send a request and read the head of its answer; raises the error that a status of 400 and up tells."""
        target = f"/v{self.server().version}{path}{encode_query(query)}"
        response = self._send(method, target, headers or {}, body, hijack=hijack)
        if response.status >= 400:
            raise failure(response)
        return response

    def get(self, path: str, query: Query | None = None) -> Any:
        """GET, and the JSON of the answer."""
        return self.request("GET", path, query).json()

    def post(
        self, path: str, query: Query | None = None, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Any:
        """POST JSON, and the JSON of the answer."""
        more = dict(headers or {})
        data = b""
        if body is not None:
            data = json.dumps(body, separators=(",", ":")).encode()
            more["Content-Type"] = "application/json"
        return self.request("POST", path, query, data, more).json()

    def delete(self, path: str, query: Query | None = None) -> Any:
        """DELETE, and the JSON of the answer."""
        return self.request("DELETE", path, query).json()

    def hijack(self, path: str, query: Query | None = None, body: Any = None) -> Tunnel:
        """POST, and keep the connection as a pair of streams."""
        headers = {"Connection": "Upgrade", "Upgrade": "tcp"}
        data = b""
        if body is not None:
            data = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        return self.request("POST", path, query, data, headers, hijack=True).tunnel()

    def _send(self, method: str, target: str, headers: Mapping[str, str], body: Body, *, hijack: bool) -> Response:
        fields = {"Host": _host(self.address), "User-Agent": f"Corten-Client/{__version__} ({os.name})"}
        fields.update(self._headers)
        fields.update(headers)
        if isinstance(body, bytes):
            if body or method == "POST":
                fields["Content-Length"] = str(len(body))
        elif body is not None:
            fields["Transfer-Encoding"] = "chunked"
        head = http1.request_head(method, target, fields)
        connection, used = self._connect()
        try:
            _write(connection, head, body)
            return Response(self, connection, http1.ResponseParser(method, hijack=hijack))
        except Unavailable:
            connection.close()
            if used and (body is None or isinstance(body, bytes)) and method in ("GET", "HEAD"):
                # The daemon may have closed a kept connection in between.
                self.close()
                return self._send(method, target, headers, body, hijack=hijack)
            raise


def _write(connection: socket.socket, head: bytes, body: Body) -> None:
    try:
        if body is None or isinstance(body, bytes):
            connection.sendall(head + (body or b""))
            return
        connection.sendall(head)
        for piece in body:
            if piece:
                connection.sendall(http1.chunk(piece))
        connection.sendall(http1.chunk(b""))
    except (BrokenPipeError, ConnectionResetError):
        # It stopped listening because it has an answer, most often an error; that is read next.
        return
    except OSError as error:
        raise Unavailable(f"error during connect: {error.strerror or error}") from error


def _host(address: Address) -> str:
    return f"{address.host}:{address.port}" if address.kind == "tcp" else "corten"


def _settle(offered: str) -> str:
    wanted = os.environ.get("DOCKER_API_VERSION", "")
    if wanted:
        return wanted.removeprefix("v")
    if not offered or offered == API_VERSION:
        return API_VERSION
    from corten.api import version  # noqa: PLC0415  18 ms, wanted only with daemons of another version

    return str(version.negotiate(version.ApiVersion.parse(offered)))


def failure(response: Response) -> CortenError:
    """The error that a response tells, in the words in which Docker's client shows it."""
    error = faults.error_for(response.status, response.read())
    error.message = f"Error response from daemon: {error.message.rstrip()}"
    error.args = (error.message,)
    return error


def encode_query(query: Query | None) -> str:
    """``?a=1&b=…``: booleans as 1, lists repeated, mappings as JSON; what is None, False or empty is left out."""
    if not query:
        return ""
    parts: list[str] = []
    for name, value in query.items():
        if value is None or value is False or value == "" or value == {} or value == []:
            continue
        values = value if isinstance(value, list | tuple) else [value]
        parts += [f"{name}={quote(_text(item))}" for item in values]
    return "?" + "&".join(parts) if parts else ""


def _text(value: Any) -> str:
    if value is True:
        return "1"
    if isinstance(value, dict):
        return json.dumps(value, separators=(",", ":"))
    return str(value)


_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def quote(text: str, also: str = "") -> str:
    """Percent-encode a value of a query or, with ``also="/:@"``, a part of a path (urllib.parse is slow to import)."""
    allowed = _PLAIN | set(also.encode())
    return "".join(chr(byte) if byte in allowed else f"%{byte:02X}" for byte in text.encode("utf-8", "surrogateescape"))
