"""The registry as an application: one request is routed, admitted, answered, logged and counted here.

Owns: the table of handlers, and the order of things.  Read next: blobs.py uploads.py manifests.py listings.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from aiohttp import ClientConnectionError, web

from corten.errors import CortenError, Unauthorized
from corten.registry import blobs, listings, manifests, ui, uploads
from corten.registry.auth import Actor, Auth, Bearer, make_auth
from corten.registry.call import Call, Happening, Listener, Parts
from corten.registry.collect import Collector
from corten.registry.config import Options
from corten.registry.faults import Refused, answer, refusal
from corten.registry.metrics import Metrics
from corten.registry.notifications import Notifications
from corten.registry.processes import Tally
from corten.registry.quotas import Quotas
from corten.registry.repositories import Repositories
from corten.registry.running import RunningHashes
from corten.registry.storage.base import Driver
from corten.registry.upstream import Mirror
from corten.spec.distribution import Endpoint, ErrorCode, Kind, Scope, is_name

_log = logging.getLogger(__name__)
_VERSION = {"Docker-Distribution-Api-Version": "registry/2.0", "X-Content-Type-Options": "nosniff"}
Handler = Callable[[Call], Awaitable[web.StreamResponse]]


async def base(call: Call) -> web.StreamResponse:
    """GET /v2/: the registry speaks version 2."""
    return web.Response(body=b"{}", content_type="application/json")


# kind -> method -> (what it takes, who answers)
TABLE: dict[Kind, dict[str, tuple[str, Handler]]] = {
    Kind.BASE: {"GET": ("", base), "HEAD": ("", base)},
    Kind.CATALOG: {"GET": ("", listings.catalog)},
    Kind.SEARCH: {"GET": ("", listings.search)},
    Kind.TAGS: {"GET": ("pull", listings.tags)},
    Kind.REFERRERS: {"GET": ("pull", listings.referrers)},
    Kind.BLOB: {"GET": ("pull", blobs.pull), "HEAD": ("pull", blobs.pull), "DELETE": ("delete", blobs.delete)},
    Kind.MANIFEST: {
        "GET": ("pull", manifests.pull),
        "HEAD": ("pull", manifests.pull),
        "PUT": ("push", manifests.push),
        "DELETE": ("delete", manifests.delete),
    },
    Kind.UPLOADS: {"POST": ("push", uploads.begin)},
    Kind.UPLOAD: {
        "GET": ("push", uploads.status),
        "PATCH": ("push", uploads.append),
        "PUT": ("push", uploads.finish),
        "DELETE": ("push", uploads.cancel),
    },
}


class Registry:
    """Everything behind ``/v2/``."""

    def __init__(self, parts: Parts, auth: Auth, metrics: Metrics) -> None:
        self.parts = parts
        self.auth = auth
        self.metrics = metrics

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Any request below ``/v2``."""
        started = time.monotonic()
        endpoint = Endpoint.parse(request.path)
        actor: Actor | None = None
        response: web.StreamResponse | None = None
        self.metrics.begin()
        try:
            actor = await self.identify(request, endpoint)
            response = await self._admitted(request, endpoint, actor)
            if not response.prepared:
                response.headers.update(_VERSION)
        except (ConnectionError, ClientConnectionError):
            raise  # the client has gone: there is nobody to answer
        except Exception as error:
            refused = refusal(error)
            if refused.status >= 500:
                _log.error(
                    "%s %s: %s", request.method, request.path, error, exc_info=not isinstance(error, CortenError)
                )
            refused.headers.update(_VERSION)
            response = answer(refused)
        finally:
            self._account(request, endpoint, response, actor, time.monotonic() - started)
        return response

    async def identify(self, request: web.Request, endpoint: Endpoint | None) -> Actor:
        """Who is asking; a wrong claim is answered with a challenge."""
        try:
            return await self.auth.identify(request)
        except Unauthorized as error:
            raise self._unauthorized(request, endpoint, "pull", str(error)) from error

    async def _admitted(self, request: web.Request, endpoint: Endpoint | None, actor: Actor) -> web.StreamResponse:
        if endpoint is None:
            raise Refused(ErrorCode.UNSUPPORTED, "no such endpoint", status=404)
        needs, handler = self._route(request.method, endpoint)
        if endpoint.kind not in (Kind.BASE, Kind.CATALOG, Kind.SEARCH) and not is_name(endpoint.name):
            raise Refused(ErrorCode.NAME_INVALID, detail={"name": endpoint.name[:300]})
        if needs and not actor.may(endpoint.name, needs):
            raise self._forbidden(request, endpoint, needs, actor)
        scope = None if endpoint.kind is Kind.BASE else Scope("registry", "catalog", frozenset({"*"}))
        if not needs and actor.is_anonymous and (challenge := self.auth.challenge(request, scope)) is not None:
            raise Refused(ErrorCode.UNAUTHORIZED, headers={"WWW-Authenticate": str(challenge)})
        return await handler(Call(request, endpoint, actor, self.parts))

    def _route(self, method: str, endpoint: Endpoint) -> tuple[str, Handler]:
        methods = TABLE[endpoint.kind]
        if method not in methods:
            raise Refused(ErrorCode.UNSUPPORTED, headers={"Allow": ", ".join(methods)})
        options = self.parts.options
        if methods[method][0] in ("push", "delete") and (options.read_only or options.upstream is not None):
            raise Refused(ErrorCode.UNSUPPORTED, "the registry is read-only")
        if methods[method][0] == "delete" and not options.deletes:
            raise Refused(ErrorCode.UNSUPPORTED, "deletion is disabled")
        return methods[method]

    def _forbidden(self, request: web.Request, endpoint: Endpoint, needs: str, actor: Actor) -> Refused:
        bearer = isinstance(self.auth, Bearer)
        if actor.is_anonymous:
            return self._unauthorized(request, endpoint, needs, "")
        if bearer:  # a token for more may be had, so it is asked for; whoever has none sees why
            refused = self._unauthorized(request, endpoint, needs, "")
            return Refused(ErrorCode.DENIED, status=401, headers=refused.headers)
        return Refused(ErrorCode.DENIED, detail={"name": endpoint.name, "action": needs})

    def _unauthorized(self, request: web.Request, endpoint: Endpoint | None, needs: str, text: str) -> Refused:
        actions = frozenset({"pull", "push"} if needs == "push" else {needs})
        scope = Scope("repository", endpoint.name, actions) if endpoint and endpoint.name else None
        challenge = self.auth.challenge(request, scope)
        headers = {"WWW-Authenticate": str(challenge)} if challenge else {}
        return Refused(ErrorCode.UNAUTHORIZED, text, headers=headers)

    def _account(
        self,
        request: web.Request,
        endpoint: Endpoint | None,
        response: web.StreamResponse | None,
        actor: Actor | None,
        seconds: float,
    ) -> None:
        status = response.status if response is not None else 499
        kind = endpoint.kind.value if endpoint else "unknown"
        sent = (response.content_length or 0) if response is not None and request.method != "HEAD" else 0
        received = request.content_length or 0
        self.metrics.end(kind, request.method, status, seconds, received, sent)
        if _log.isEnabledFor(logging.INFO):
            fields = {
                "remote": request.remote,
                "user": actor.name if actor and not actor.is_anonymous else "",
                "status": status,
                "received": received,
                "sent": sent,
                "ms": round(seconds * 1000, 1),
                "agent": request.headers.get("User-Agent", ""),
            }
            _log.info("%s %s", request.method, request.path, extra={"fields": fields})


class _Counting:
    """The listener that counts happenings."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def tell(self, happening: Happening, request: web.Request, actor: str) -> None:
        self._metrics.count(happening.action)


REGISTRY = web.AppKey("registry", Registry)
COLLECTOR = web.AppKey("collector", Collector)
NOTIFICATIONS = web.AppKey("notifications", Notifications)
TALLY = web.AppKey("tally", Tally)


async def make_app(driver: Driver, options: Options) -> web.Application:
    """The application over a store.  Its background work (webhooks, collection) lives as long as it is served."""
    metrics = Metrics()
    repositories = Repositories(driver)
    notifications = Notifications(options.webhook)
    listeners: tuple[Listener, ...] = (_Counting(metrics), notifications)
    mirror = Mirror(options.upstream, repositories) if options.upstream else None
    parts = Parts(repositories, options, listeners, RunningHashes(), Quotas(options.quota), mirror)
    auth = await make_auth(options, driver)
    registry = Registry(parts, auth, metrics)
    collector = Collector(repositories, options.collect, metrics)

    app = web.Application(client_max_size=1 << 20)
    app[REGISTRY], app[COLLECTOR], app[NOTIFICATIONS] = registry, collector, notifications
    app[TALLY] = tally = Tally(metrics)
    app.router.add_route("*", "/v2", registry.handle)
    app.router.add_route("*", "/v2/{path:.*}", registry.handle)
    app.router.add_get("/v1/search", registry.handle)
    app.router.add_get("/v1/_ping", _ping)
    app.router.add_get("/health", _health)
    if isinstance(auth, Bearer):
        app.router.add_route("*", "/auth/token", _token)
    if options.metrics:
        app.router.add_get("/metrics", _metrics)
    if options.ui:
        ui.add_routes(app, registry.identify, auth, repositories)

    async def background(_: web.Application) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(each.run()) for each in (notifications, collector, tally)]
        yield
        await notifications.flush()
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        if mirror is not None:
            await mirror.close()
        await driver.close()

    app.cleanup_ctx.append(background)
    return app


async def _health(request: web.Request) -> web.Response:
    """GET /health: can the store be written?"""
    try:
        await request.app[REGISTRY].parts.repositories.driver.check()
    except Exception as error:
        _log.error("the store is not well: %s", error)
        return web.json_response({"status": "unhealthy", "storage": str(error)}, status=503)
    return web.json_response({"status": "ok"})


async def _ping(request: web.Request) -> web.Response:
    """GET /v1/_ping: ``docker search`` looks for the header."""
    return web.json_response(
        True, headers={"X-Docker-Registry-Version": "0.6.0", "X-Docker-Registry-Standalone": "true"}
    )


async def _metrics(request: web.Request) -> web.Response:
    """GET /metrics"""
    text = request.app[TALLY].to_text()
    return web.Response(text=text, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})


async def _token(request: web.Request) -> web.Response:
    """GET and POST /auth/token"""
    auth = request.app[REGISTRY].auth
    assert isinstance(auth, Bearer)
    try:
        return await auth.give_token(request)
    except Unauthorized as error:
        return answer(Refused(ErrorCode.UNAUTHORIZED, str(error), headers={"WWW-Authenticate": 'Basic realm="token"'}))
    except Refused as refused:
        return answer(refused)
