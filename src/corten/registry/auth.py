"""Who is asking: nobody in particular, a user with a password, or the bearer of a token.

Owns: the three kinds of Auth, their challenges, and the token service's endpoint.
What an actor may do is in access.py; passwords and tokens have their own files.
"""

from __future__ import annotations

import base64
import binascii
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from aiohttp import web

from corten.errors import Invalid, Unauthorized
from corten.registry.access import ANONYMOUS, allowed
from corten.registry.config import ACTIONS, AccessRule, AuthOptions, Options
from corten.registry.faults import Refused
from corten.registry.passwords import Passwords
from corten.registry.storage.base import Driver
from corten.registry.tokens import Signer, Token, narrowed
from corten.spec.distribution import Challenge, ErrorCode, Scope

_REFRESH_LIFETIME = 90 * 86400.0
_SECRET_KEY = "secrets/token"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who is asking, and what they may do."""

    name: str
    actions: Callable[[str], frozenset[str]]
    listed: Callable[[str], bool] | None = None

    @property
    def is_anonymous(self) -> bool:
        """Whether we do not know them."""
        return self.name == ANONYMOUS

    def may(self, repository: str, action: str) -> bool:
        """Whether they may do ``action`` to the repository."""
        return action in self.actions(repository)

    def sees(self, repository: str) -> bool:
        """Whether it is in their lists: a token that lets them list names no repository."""
        return self.may(repository, "pull") or (self.listed is not None and self.listed(repository))


class Auth(Protocol):
    """A way to know who is asking."""

    async def identify(self, request: web.Request) -> Actor:
        """Who sends the request; raises Unauthorized when they claim what is not so."""
        ...

    def challenge(self, request: web.Request, scope: Scope | None) -> Challenge | None:
        """What to ask of one who may not do it as they are; None when asking helps nobody."""
        ...


class Open:
    """No one is asked anything."""

    async def identify(self, request: web.Request) -> Actor:
        return Actor(ANONYMOUS, lambda name: ACTIONS)

    def challenge(self, request: web.Request, scope: Scope | None) -> Challenge | None:
        return None


class Basic:
    """A user name and a password with each request."""

    def __init__(self, options: AuthOptions, rules: tuple[AccessRule, ...]) -> None:
        self._options = options
        self._rules = rules
        self._passwords = Passwords(Path(options.htpasswd))

    async def identify(self, request: web.Request) -> Actor:
        user = await self.user(request)
        return Actor(user, lambda name: allowed(self._rules, self._options, user, name))

    def challenge(self, request: web.Request, scope: Scope | None) -> Challenge | None:
        return Challenge("Basic", {"realm": self._options.realm or self._options.service})

    async def user(self, request: web.Request) -> str:
        """The user of a Basic header, ANONYMOUS where there is none."""
        header = request.headers.get("Authorization", "")
        if not header:
            return ANONYMOUS
        scheme, _, encoded = header.partition(" ")
        try:
            user, colon, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise Unauthorized("invalid authorization header") from None
        if scheme.lower() != "basic" or not colon:
            raise Unauthorized("invalid authorization header")
        return await self.known(user, password)

    async def known(self, user: str, password: str) -> str:
        """The user, if the password is right."""
        if user == ANONYMOUS or not await self._passwords.check(user, password):
            raise Unauthorized("authentication required: incorrect username or password")
        return user

    def allowed(self, user: str, name: str) -> frozenset[str]:
        """What the user may do to a repository."""
        return allowed(self._rules, self._options, user, name)

    def fingerprint(self, user: str) -> str:
        """See Passwords."""
        return self._passwords.fingerprint(user)


class Bearer:
    """A token with each request, and the service that gives tokens at ``/auth/token``."""

    def __init__(self, options: AuthOptions, rules: tuple[AccessRule, ...], secret: bytes) -> None:
        self._options = options
        self._basic = Basic(options, rules)
        self._signer = Signer(secret, options.service)

    async def identify(self, request: web.Request) -> Actor:
        header = request.headers.get("Authorization", "")
        scheme, _, text = header.partition(" ")
        if scheme.lower() != "bearer":
            # People in a browser send a password; so do the simplest scripts.  With no header, what all may do.
            return await self._basic.identify(request)
        token = self._signer.read(text.strip(), time.time())
        if token.refresh:
            raise Unauthorized("a refresh token is no access token")
        return Actor(
            token.user,
            lambda name: frozenset(action for action in ACTIONS if token.may(name, action)),
            lambda name: token.lists and "pull" in self._basic.allowed(token.user, name),
        )

    def challenge(self, request: web.Request, scope: Scope | None) -> Challenge | None:
        realm = self._options.realm or f"{request.scheme}://{request.host}/auth/token"
        parameters = {"realm": realm, "service": self._options.service}
        return Challenge("Bearer", parameters | ({"scope": str(scope)} if scope else {}))

    async def give_token(self, request: web.Request) -> web.Response:
        """GET and POST /auth/token: Docker's token protocol and its OAuth2 form."""
        posted = request.method == "POST"
        query = await request.post() if posted else request.query
        values = {name: [value for value in query.getall(name) if isinstance(value, str)] for name in query}
        user = await (self._user_of_form(values) if posted else self._basic.user(request))
        wanted = [_scope(part) for text in values.get("scope", []) for part in text.split()]
        permissions = {scope.name: self._basic.allowed(user, scope.name) for scope in wanted}
        now = time.time()
        token = Token(user, narrowed(wanted, permissions), now + self._options.lifetime)
        signed = self._signer.sign(token, now)
        body: dict[str, object] = {
            "token": signed,
            "access_token": signed,
            "expires_in": int(self._options.lifetime),
            "issued_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)),
        }
        offline = values.get("offline_token") == ["true"] or values.get("access_type") == ["offline"]
        if user != ANONYMOUS and (offline or posted):
            refresh = Token(user, (), now + _REFRESH_LIFETIME, self._basic.fingerprint(user))
            body["refresh_token"] = self._signer.sign(refresh, now)
        if posted:
            body["scope"] = " ".join(str(scope) for scope in token.scopes)
        return web.json_response(body, headers={"Cache-Control": "no-store"})

    async def _user_of_form(self, values: dict[str, list[str]]) -> str:
        first = {name: texts[0] for name, texts in values.items() if texts}
        match first.get("grant_type"):
            case "password":
                return await self._basic.known(first.get("username", ""), first.get("password", ""))
            case "refresh_token":
                token = self._signer.read(first.get("refresh_token", ""), time.time())
                if not token.refresh or token.refresh != self._basic.fingerprint(token.user):
                    raise Unauthorized("the refresh token is no longer valid")
                return token.user
            case _:
                raise Refused(ErrorCode.UNSUPPORTED, "grant_type must be password or refresh_token", status=400)


def _scope(text: str) -> Scope:
    try:
        return Scope.parse(text)
    except Invalid as error:
        raise Refused(ErrorCode.UNSUPPORTED, str(error), status=400) from error


async def make_auth(options: Options, driver: Driver) -> Auth:
    """The way that the options ask for.  The key of the tokens is in the store, for all its processes to share."""
    if options.auth is None:
        return Open()
    if not options.auth.token:
        return Basic(options.auth, options.access)
    async with driver.exclusive():  # several processes may start at once
        secret = await driver.read(_SECRET_KEY)
        if not secret:
            secret = secrets.token_bytes(32)
            await driver.write(_SECRET_KEY, secret)
    return Bearer(options.auth, options.access, secret)
