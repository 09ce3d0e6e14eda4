"""One request to a registry: the right host and scheme, TLS, credentials, patience, and faults in words.

Owns: Transport.  A request that may be repeated is, after a pause that the registry may choose (Retry-After).
Knows nothing of manifests and blobs.
"""

from __future__ import annotations

import asyncio
import email.utils
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ssl import SSLContext
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from corten.distribution.auth import Authorizer
from corten.distribution.faults import Answer, NoCredentials, is_plain_http, unreachable
from corten.distribution.hosts import Host
from corten.distribution.model import NOBODY, Credentials, RegistryConfig
from corten.distribution.tls import context_for
from corten.errors import CortenError, Unavailable
from corten.spec.distribution import Scope, parse_errors

_READ_BUFFER = 1 << 20
_ERROR_BODY_MAX = 64 * 1024
_PING_EVERY = 300.0
Body = Callable[[], Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """What to ask."""

    method: str
    path: str  # below the host's URL, or a whole URL that the registry gave
    expect: Collection[int] = (200,)
    headers: Mapping[str, str] | None = None
    query: Sequence[tuple[str, str]] = ()
    body: Body | None = None  # makes a fresh body for each attempt
    scopes: tuple[Scope, ...] = ()
    retry: bool = True
    patient: bool = False  # wait also for a registry that has gone away: it was there a moment ago


class Transport:
    """The connections of one client.  Close it."""

    def __init__(self, config: RegistryConfig) -> None:
        self._config = config
        self._session: aiohttp.ClientSession | None = None
        self._contexts: dict[tuple[str, bool], SSLContext] = {}
        self._plain: dict[str, bool] = {}  # do they speak plain HTTP?
        self._pinged: dict[str, float] = {}
        self._authorizer = Authorizer(self._send)

    @property
    def authorizer(self) -> Authorizer:
        """For logging in."""
        return self._authorizer

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    @asynccontextmanager
    async def request(
        self, host: Host, request: Request, credentials: Credentials = NOBODY
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer to ``request``, of one of the expected statuses; else Answer or Unavailable."""
        attempt = 0
        while True:
            attempt += 1
            response = await self._try(host, request, credentials, attempt)
            if response is not None:
                break
        try:
            yield response
        except (aiohttp.ClientError, OSError) as error:
            if isinstance(error, aiohttp.ClientError | ConnectionError):
                raise unreachable(request.method, self._url(host, request.path), error) from error
            raise
        finally:
            response.release() if response.content.at_eof() else response.close()

    async def ping(self, host: Host, credentials: Credentials) -> None:
        """Learn, now and then, whether the host answers at all, by TLS or plain HTTP, and what it asks for."""
        url, now = f"{host.url}/v2/", time.monotonic()
        if self._pinged.get(host.url, -_PING_EVERY) + _PING_EVERY > now:
            return
        options = {"headers": {"User-Agent": self._config.user_agent}, "ssl": self._context(host.name, host.verify)}
        for attempt in range(1, self._config.retries.attempts + 2):
            try:
                response = await self._open("GET", url, **options)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                if _may_pass(error) and attempt <= self._config.retries.attempts:
                    await asyncio.sleep(self._config.retries.pause(attempt))
                    continue
                raise unreachable("GET", url, error) from error
            if response.status == 401:
                self._authorizer.learn(host.name, response.headers.getall("WWW-Authenticate", []), credentials, ())
            if response.status < 500 and response.status != 429:
                await response.read()
                response.release()
                self._pinged[host.url] = now
                self._plain[host.name] = host.url.startswith("http://")
                return
            answer, wait = await _refusal("GET", url, response), self._patience(response, attempt)
            if wait is None or attempt > self._config.retries.attempts:
                raise answer
            await asyncio.sleep(wait)

    async def way(self, hosts: Sequence[Host], credentials: Credentials) -> Host:
        """The first of the ways to a registry that works."""

        async def itself(host: Host, _: Credentials) -> Host:
            return host

        return await first_of(hosts, self, credentials, itself)

    def speaks(self, host: Host) -> bool:
        """Whether this way to an insecure registry is, as far as known, the right one of the two."""
        plain = self._plain.get(host.name)
        return plain is None or plain == host.url.startswith("http://")

    def forget(self, host: Host) -> None:
        """What was known of the host is no longer so: somebody else may listen there now."""
        self._plain.pop(host.name, None)
        self._pinged.pop(host.url, None)

    async def _try(
        self, host: Host, request: Request, credentials: Credentials, attempt: int
    ) -> aiohttp.ClientResponse | None:
        """One attempt; None when another shall be made, after the pause that was taken here."""
        last = not request.retry or attempt > self._config.retries.attempts
        url = self._url(host, request.path)
        try:
            response = await self._authorized(host, url, request, credentials)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self.forget(host)
            failure = unreachable(request.method, url, error)
            if last or not (request.patient or _may_pass(error)):
                raise failure from error
            await asyncio.sleep(self._config.retries.pause(attempt))
            return None
        if response.status in request.expect:
            return response
        answer = await _refusal(request.method, url, response)
        wait = self._patience(response, attempt)
        if last or not answer.is_worth_retrying or wait is None:
            raise answer
        await asyncio.sleep(wait)
        return None

    async def _authorized(
        self, host: Host, url: str, request: Request, credentials: Credentials
    ) -> aiohttp.ClientResponse:
        """Send with what is known of the host's challenge, and once more when it brings a new one."""
        same_host = urlsplit(url).netloc == host.name
        for attempt in range(2):
            headers = {"User-Agent": self._config.user_agent, **(request.headers or {})}
            if same_host:  # uploads and blobs may live elsewhere: our credentials are not for there
                authorization = await self._authorizer.header(host.name, credentials, request.scopes)
                if authorization:
                    headers["Authorization"] = authorization
            response = await self._open(
                request.method,
                url,
                headers=headers,
                params=request.query or None,
                data=request.body() if request.body else None,
                ssl=self._context(host.name, host.verify) if same_host else None,
            )
            if response.status != 401 or attempt or not same_host:
                return response
            challenges = response.headers.getall("WWW-Authenticate", [])
            if not self._authorizer.learn(host.name, challenges, credentials, request.scopes):
                return response
            await response.read()
            response.release()
            if not self._authorizer.can_answer(host.name, credentials):
                break
        raise NoCredentials("no basic auth credentials")

    @asynccontextmanager
    async def _send(self, method: str, url: str, **options: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        """A plain request, for the authorizer."""
        headers = {"User-Agent": self._config.user_agent, **options.pop("headers", {})}
        name = urlsplit(url).netloc
        verify = self._verifies(name)
        try:
            response = await self._open(method, url, headers=headers, ssl=self._context(name, verify), **options)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise unreachable(method, url, error) from error
        try:
            yield response
        finally:
            response.release()

    async def _open(self, method: str, url: str, **options: Any) -> aiohttp.ClientResponse:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=15, sock_read=self._config.stall_timeout)
            self._session = aiohttp.ClientSession(
                timeout=timeout,
                auto_decompress=False,
                read_bufsize=_READ_BUFFER,
                connector=aiohttp.TCPConnector(limit=0),
            )
        if options.get("ssl") is None or url.startswith("http://"):
            options.pop("ssl", None)
        return await self._session.request(
            method, URL(url, encoded="%" in url), proxy=_proxy(url), max_redirects=10, **options
        )

    def _url(self, host: Host, path: str) -> str:
        return path if "://" in path else host.url + path

    def _verifies(self, name: str) -> bool:
        return not any(known == name and not verify for known, verify in self._contexts)

    def _context(self, name: str, verify: bool) -> SSLContext:
        context = self._contexts.get((name, verify))
        if context is None:
            context = context_for(name, self._config.certificates, verify=verify)
            self._contexts[name, verify] = context
        return context

    def _patience(self, response: aiohttp.ClientResponse, attempt: int) -> float | None:
        """Seconds to wait before another attempt; None when the registry asks for more than we have."""
        asked = retry_after(response.headers.get("Retry-After"), time.time())
        if asked is None:
            return self._config.retries.pause(attempt)
        return asked if asked <= self._config.retries.longest_wait else None


async def first_of(
    hosts: Sequence[Host],
    transport: Transport,
    credentials: Credentials,
    ask: Callable[[Host, Credentials], Awaitable[T]],
) -> T:
    """The answer of the first host that gives one; the last host's failure when none does.

    A mirror that fails in whatever way is passed over.  Of the two ways to an insecure registry, plain HTTP is
    tried only where TLS found nobody who speaks it.
    """
    failure: CortenError | None = None
    for host in hosts:
        if not transport.speaks(host):
            continue
        own = NOBODY if host.is_mirror else credentials  # a user's credentials are not for mirrors
        try:
            await transport.ping(host, own)
        except (Answer, Unavailable) as error:
            failure = error
            continue
        try:
            return await ask(host, own)
        except CortenError as error:
            if not host.is_mirror:
                raise
            failure = error
    if failure is None:  # what was known of the host's scheme is no longer so
        raise Unavailable(f"no way to reach {hosts[-1].name}")
    raise failure


def retry_after(header: str | None, now: float) -> float | None:
    """The seconds of a Retry-After header: a number or a date."""
    if not header:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - now)
    except (ValueError, TypeError):
        return None


def _may_pass(error: BaseException) -> bool:
    """Whether a connection may do better in a moment.  Nobody listening, no such name, a bad certificate do not."""
    return not (is_plain_http(error) or isinstance(error, aiohttp.ClientConnectorError | aiohttp.InvalidURL))


async def _refusal(method: str, url: str, response: aiohttp.ClientResponse) -> Answer:
    try:
        body = await response.content.read(_ERROR_BODY_MAX)
    except (aiohttp.ClientError, OSError):
        body = b""
    finally:
        response.close()
    return Answer(method, url, response.status, parse_errors(body))


def _proxy(url: str) -> str | None:
    """The proxy that the environment names for ``url``."""
    parts = urlsplit(url)
    if urllib.request.proxy_bypass_environment(parts.hostname or ""):  # type: ignore[attr-defined]
        return None
    return urllib.request.getproxies_environment().get(parts.scheme)
