"""Credentials on requests: challenges are answered, tokens are kept until shortly before they expire.

Owns: Authorizer.  One for each client; it keeps tokens by host, user and scope, and never writes them down.
Protocol: Docker's token authentication (GET, and POST for identity tokens) and Basic.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

import aiohttp

from corten.distribution.faults import Answer
from corten.distribution.model import Credentials
from corten.errors import Invalid
from corten.spec.distribution import Challenge, Scope, basic_credentials, parse_challenges, parse_errors

_MARGIN = 10.0
_DEFAULT_LIFETIME = 60.0  # of the token specification
_CLIENT_ID = "corten"
Send = Callable[..., AbstractAsyncContextManager[aiohttp.ClientResponse]]


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    expires: float


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token service gave."""

    token: str
    lifetime: float
    refresh_token: str = ""


class Authorizer:
    """Knows what to put in the Authorization header."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._challenges: dict[str, Challenge] = {}
        self._tokens: dict[tuple[str, Credentials, str], _Token] = {}
        self._locks: dict[tuple[str, Credentials, str], asyncio.Lock] = {}

    async def header(self, host: str, credentials: Credentials, scopes: Sequence[Scope]) -> str | None:
        """The header for a request, as far as the host's challenge is known; None is none."""
        challenge = self._challenges.get(host)
        if challenge is None:
            return None
        if credentials.registry_token:
            return f"Bearer {credentials.registry_token}"
        if challenge.is_basic:
            if not credentials.has_password:  # it may let anybody pull
                return None
            return basic_credentials(credentials.username, credentials.password)
        key = (host, credentials, " ".join(sorted(map(str, scopes))))
        async with self._locks.setdefault(key, asyncio.Lock()):  # parallel layers ask once
            token = self._tokens.get(key)
            if token is None or token.expires < time.monotonic() + _MARGIN:
                grant = await self.ask(challenge, credentials, scopes)
                token = _Token(grant.token, time.monotonic() + grant.lifetime)
                self._tokens[key] = token
        return f"Bearer {token.text}"

    def challenge(self, host: str) -> Challenge | None:
        """What the host was last heard to ask for."""
        return self._challenges.get(host)

    def can_answer(self, host: str, credentials: Credentials) -> bool:
        """Whether there is something to say to the host's challenge: to one for a password only a password."""
        challenge = self._challenges.get(host)
        asks_password = challenge is not None and challenge.is_basic
        return not asks_password or credentials.has_password or bool(credentials.registry_token)

    def learn(self, host: str, headers: Sequence[str], credentials: Credentials, scopes: Sequence[Scope]) -> bool:
        """Take note of a 401's challenge; False when it cannot be answered."""
        challenges = [challenge for header in headers for challenge in parse_challenges(header)]
        chosen = next((c for c in challenges if c.is_bearer), None) or next((c for c in challenges if c.is_basic), None)
        self._tokens.pop((host, credentials, " ".join(sorted(map(str, scopes)))), None)
        if chosen is None:
            return False
        self._challenges[host] = chosen
        return True

    async def ask(
        self, challenge: Challenge, credentials: Credentials, scopes: Sequence[Scope], *, offline: bool = False
    ) -> Grant:
        """A token of the challenge's service."""
        realm = challenge.parameters.get("realm", "")
        if not realm.startswith(("https://", "http://")):
            raise Invalid(f"the registry names no token service: {challenge}")
        service = challenge.parameters.get("service", "")
        if credentials.identity_token:
            return await self._post(realm, service, credentials, scopes)
        query: list[tuple[str, str]] = [("scope", str(scope)) for scope in scopes]
        if service:
            query.append(("service", service))
        auth = None
        if credentials.has_password:
            query.append(("account", credentials.username))
            auth = basic_credentials(credentials.username, credentials.password)
        if offline:
            query += [("offline_token", "true"), ("client_id", _CLIENT_ID)]
        headers = {"Authorization": auth} if auth else {}
        async with self._send("GET", realm, params=query, headers=headers) as response:
            if response.status in (404, 405) and credentials.has_password:  # an OAuth2-only service
                return await self._post(realm, service, credentials, scopes)
            return await _grant("GET", realm, response)

    async def _post(self, realm: str, service: str, credentials: Credentials, scopes: Sequence[Scope]) -> Grant:
        form = {"service": service, "client_id": _CLIENT_ID, "scope": " ".join(map(str, scopes))}
        if credentials.identity_token:
            form |= {"grant_type": "refresh_token", "refresh_token": credentials.identity_token}
        else:
            form |= {"grant_type": "password", "username": credentials.username, "password": credentials.password}
        async with self._send("POST", realm, data=form) as response:
            return await _grant("POST", realm, response)


async def _grant(method: str, realm: str, response: aiohttp.ClientResponse) -> Grant:
    body = await response.read()
    if response.status != 200:
        raise Answer(method, realm, response.status, parse_errors(body))
    try:
        document: Any = json.loads(body)
        token = document.get("token") or document.get("access_token")
        lifetime = float(document.get("expires_in") or _DEFAULT_LIFETIME)
    except (ValueError, TypeError, AttributeError) as error:
        raise Invalid(f"the token service at {realm} does not answer with a token") from error
    if not token:
        raise Invalid(f"the token service at {realm} does not answer with a token")
    return Grant(str(token), lifetime, str(document.get("refresh_token") or ""))
