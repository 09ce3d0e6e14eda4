"""A daemon made of canned answers, on a unix socket, for tests of the client."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

Handler = Callable[["Request", socket.socket], None]


class Request:
    """What a client sent."""

    def __init__(self, line: str, headers: dict[str, str], body: bytes) -> None:
        self.method, self.target, _ = line.split(" ")
        self.headers = headers
        self.body = body

    @property
    def path(self) -> str:
        """Without version and query."""
        return "/" + self.target.partition("?")[0].split("/", 2)[-1] if self.target.startswith("/v1.") else self.target

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]


class DaemonDouble:
    """Answers by ``(method, path)``; notes every request."""

    def __init__(self, folder: Path, version: str = "1.50") -> None:
        self.path = str(folder / "daemon.sock")
        self.requests: list[Request] = []
        self.handlers: dict[tuple[str, str], Handler] = {}
        self.connections = 0
        self._version = version
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def json(self, method: str, path: str, value: Any, status: int = 200) -> None:
        """Answer with JSON."""
        self.handlers[method, path] = lambda _, connection: reply(connection, json.dumps(value).encode(), status)

    def asked(self) -> list[str]:
        """Methods and paths in order, without the pings."""
        return [f"{request.method} {request.path}" for request in self.requests if request.target != "/_ping"]

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as stream:
            while line := stream.readline():
                headers: dict[str, str] = {}
                while (field := stream.readline().strip()) != b"":
                    name, _, value = field.decode().partition(": ")
                    headers[name.lower()] = value
                request = Request(line.decode().strip(), headers, _body(stream, headers))
                self.requests.append(request)
                if request.target == "/_ping":
                    reply(connection, b"", extra=f"Api-Version: {self._version}\r\nOstype: linux\r\n")
                    continue
                handler = self.handlers.get((request.method, request.path))
                if handler is None:
                    reply(connection, b'{"message":"page not found"}', 404)
                    continue
                handler(request, connection)
                if headers.get("upgrade"):
                    return


def _body(stream: Any, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding") != "chunked":
        return bytes(stream.read(int(headers.get("content-length", 0))))
    found = b""
    while size := int(stream.readline(), 16):
        found += stream.read(size)
        stream.readline()
    stream.readline()
    return found


def reply(connection: socket.socket, body: bytes, status: int = 200, extra: str = "") -> None:
    """A whole answer."""
    head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{extra}\r\n"
    connection.sendall(head.encode() + body)
