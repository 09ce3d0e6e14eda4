"""Native health probes: HTTP, TCP and file checks that start no process in the container.

Owns: what ``Healthcheck.Test`` may say besides Docker's CMD forms, and the doing of it.

    ["HTTP", "http://:8080/ready"]   a status of 200 to 399; https takes any certificate; no host means localhost
    ["TCP", ":5432"]                 a connection is accepted
    ["FILE", "/run/ready"]           the path is there

The sockets are the container's own (made in its network namespace), the path is looked up beneath its root.  The timing
and the verdict are in ``health.py``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from urllib.parse import SplitResult, urlsplit

from corten.errors import CortenError, Invalid
from corten.kernel import flags
from corten.kernel.paths import Root
from corten.supervisor.service import Task

KINDS = frozenset({"HTTP", "TCP", "FILE"})
_LOCALHOST: tuple[tuple[int, str], ...] = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
_HEAD_LIMIT = 16 * 1024

Outcome = tuple[int, str]
"""An exit code, 0 for healthy, and what is shown as the probe's output."""


def check(kind: str, words: list[str]) -> None:
    """Raise Invalid for a target that makes no sense."""
    if len(words) != 1 or not words[0]:
        raise Invalid(f"Healthcheck.Test: {kind} takes exactly one target")
    if kind == "HTTP":
        _url(words[0])
    elif kind == "TCP":
        _address(words[0])
    elif not words[0].startswith("/"):
        raise Invalid(f"Healthcheck.Test: FILE takes an absolute path, not {words[0]!r}")


def _url(text: str) -> SplitResult:
    try:
        url = urlsplit(text)
        _ = url.port
    except ValueError:
        raise Invalid(f"Healthcheck.Test: {text!r} is no valid address") from None
    if url.scheme not in ("http", "https"):
        raise Invalid(f"Healthcheck.Test: HTTP takes an http:// or https:// address, not {text!r}")
    return url


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or not 0 < int(port) < 65536:
        raise Invalid(f"Healthcheck.Test: TCP takes [HOST]:PORT, not {text!r}")
    return host.strip("[]"), int(port)


async def probe(task: Task, kind: str, target: str) -> Outcome:
    """Do one probe; what the container does wrong is an outcome, not an exception."""
    run: Callable[[Task, str], Awaitable[Outcome]] = {"HTTP": _http, "TCP": _tcp, "FILE": _file}[kind]
    try:
        return await run(task, target)
    except CortenError as error:
        return 1, error.message
    except (OSError, EOFError, ValueError) as error:
        return 1, str(error) or type(error).__name__


async def _connect(task: Task, host: str, port: int) -> socket.socket:
    """A connected socket of the container's; names of the outside are not resolved."""
    families = _LOCALHOST
    if host not in ("", "localhost"):
        families = ((socket.AF_INET6 if ":" in host else socket.AF_INET, host),)
    loop = asyncio.get_running_loop()
    failure: OSError | None = None
    for family, address in families:
        try:
            sock = await task.socket(family, socket.SOCK_STREAM)
        except CortenError as error:  # a kernel without IPv6
            failure = failure or OSError(error.message)
            continue
        try:
            socket.inet_pton(family, address)
            await loop.sock_connect(sock, (address, port))
        except OSError as error:
            sock.close()
            failure = failure or OSError(f"connect {address}:{port}: {os.strerror(error.errno or 0).lower()}")
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    assert failure is not None
    raise failure


async def _tcp(task: Task, target: str) -> Outcome:
    host, port = _address(target)
    (await _connect(task, host, port)).close()
    return 0, f"port {port} accepts connections"


async def _file(task: Task, target: str) -> Outcome:
    def look() -> None:
        with Root(task.root_fd()) as root:
            os.close(root.open(target, flags.O_PATH))

    await asyncio.to_thread(look)
    return 0, f"{target} is there"


async def _http(task: Task, target: str) -> Outcome:
    url = _url(target)
    is_tls = url.scheme == "https"
    sock = await _connect(task, url.hostname or "", url.port or (443 if is_tls else 80))
    context = ssl._create_unverified_context() if is_tls else None
    try:
        reader, writer = await asyncio.open_connection(
            sock=sock, limit=_HEAD_LIMIT, ssl=context, server_hostname=url.hostname or "localhost" if is_tls else None
        )
    except BaseException:
        sock.close()
        raise
    try:
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        host = url.netloc if url.hostname else f"localhost:{url.port or 80}"
        writer.write(f"GET {path} HTTP/1.0\r\nHost: {host}\r\nUser-Agent: corten-health\r\n\r\n".encode())
        line = (await reader.readline()).decode(errors="replace").strip()
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError, ssl.SSLError):
            await writer.wait_closed()
    words = line.split(" ", 2)
    if not line.startswith("HTTP/") or len(words) < 2 or not words[1].isdecimal():
        return 1, f"no answer of HTTP: {line[:200]!r}"
    return (0 if 200 <= int(words[1]) < 400 else 1), line
