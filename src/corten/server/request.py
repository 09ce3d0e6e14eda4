"""What every handler reads of a request: the engine, the API version, path and query values, the JSON body.

Owns: Docker's ways of reading booleans, numbers and bodies, and the words of refusal.
Knows nothing of any one operation.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from corten.api.filters import Filters
from corten.api.routes import Match
from corten.api.version import ApiVersion
from corten.engine.engine import Engine
from corten.errors import Invalid
from corten.server import jsonbody

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_CALL = "corten.call"
_FALSE = frozenset({"", "0", "no", "false", "none"})


@dataclass(frozen=True, slots=True)
class Call:
    """A request as the dispatcher understood it."""

    engine: Engine
    version: ApiVersion
    match: Match


def remember(request: web.Request, call: Call) -> None:
    """Keep what the dispatcher found for the handler."""
    request[_CALL] = call


def _call(request: web.Request) -> Call:
    call = request[_CALL]
    assert isinstance(call, Call)
    return call


def engine(request: web.Request) -> Engine:
    """The engine that serves this request."""
    return _call(request).engine


def version(request: web.Request) -> ApiVersion:
    """The API version that the client asked for."""
    return _call(request).version


def since(request: web.Request, minor: int) -> bool:
    """True if the client speaks at least 1.``minor``."""
    return _call(request).version >= ApiVersion(1, minor)


def param(request: web.Request, name: str) -> str:
    """A variable part of the path."""
    return _call(request).match.params[name]


def flag(request: web.Request, name: str, default: bool = False) -> bool:
    """A boolean of the query, as Docker reads it: everything but a few words is true."""
    value = request.query.get(name)
    return default if value is None else value.strip().lower() not in _FALSE


def number(request: web.Request, name: str) -> int | None:
    """A whole number of the query, None if absent or empty; raises Invalid."""
    value = request.query.get(name, "")
    if not value:
        return None
    try:
        return int(value)
    except ValueError:
        raise Invalid(f'strconv.Atoi: parsing "{value}": invalid syntax') from None


def filters(request: web.Request) -> Filters:
    """The ``filters`` of the query."""
    return Filters.parse(request.query.get("filters"))


async def body(request: web.Request, *, required: bool = True) -> dict[str, Any]:
    """The JSON object in the body; raises Invalid in dockerd's words."""
    raw = await request.read()
    if not raw.strip():
        if required:
            raise Invalid("invalid JSON: got EOF while reading request body")
        return {}
    kind = request.headers.get("Content-Type", "")
    if kind.partition(";")[0].strip().lower() != "application/json":
        raise Invalid(f'unsupported Content-Type header ({kind}): must be "application/json"')
    value = jsonbody.parse(raw)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Invalid("invalid JSON: not an object")
    return value


class _Reply(web.Response):
    """An answer that something follows."""

    then: Callable[[], None] | None = None

    async def write_eof(self, data: bytes = b"") -> None:
        await super().write_eof(data)
        if self.then:
            self.then()


def reply(value: Any, status: int = 200, *, then: Callable[[], None] | None = None) -> web.Response:
    """A JSON answer, compact, with the newline that Docker ends it with; ``then`` is called when it has been sent."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False) + "\n"
    answer = _Reply(body=text.encode("utf-8", "surrogateescape"), status=status, content_type="application/json")
    answer.then = then
    return answer


def no_content() -> web.Response:
    """204."""
    return web.Response(status=204)
