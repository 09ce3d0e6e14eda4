"""Tokens: what the token service signs and the registry believes.  Pure.

A token is a JWT signed with HMAC-SHA256 (RFC 7519): its ``access`` claim lists scopes as Docker's token servers do.
A refresh token names only the user and a fingerprint of the password, so that a new password ends it.
"""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from corten.errors import Unauthorized
from corten.spec.distribution import Scope

_HEADER = {"typ": "JWT", "alg": "HS256"}


@dataclass(frozen=True, slots=True)
class Token:
    """What a token says."""

    user: str
    scopes: tuple[Scope, ...]
    expires: float
    refresh: str = ""

    def may(self, name: str, action: str) -> bool:
        """Whether the token allows ``action`` on the repository ``name``."""
        return any(
            scope.name == name and scope.kind == "repository" and action in scope.actions for scope in self.scopes
        )

    @property
    def lists(self) -> bool:
        """Whether the token allows to list and search repositories."""
        return any(scope.kind == "registry" and scope.name == "catalog" for scope in self.scopes)


class Signer:
    """Signs and reads tokens of one service."""

    def __init__(self, secret: bytes, service: str) -> None:
        self._secret = secret
        self._service = service

    def sign(self, token: Token, now: float) -> str:
        """Print the token."""
        claims: dict[str, Any] = {
            "iss": self._service,
            "aud": self._service,
            "sub": token.user,
            "iat": int(now),
            "nbf": int(now) - 10,
            "exp": int(token.expires),
            "access": [_claim(scope) for scope in token.scopes],
        }
        if token.refresh:
            claims["refresh"] = token.refresh
        body = f"{_encode(json.dumps(_HEADER).encode())}.{_encode(json.dumps(claims).encode())}"
        return f"{body}.{_encode(self._signature(body))}"

    def read(self, text: str, now: float) -> Token:
        """The token, if we signed it and it is still good."""
        body, _, signature = text.rpartition(".")
        try:
            header, claims = (json.loads(_decode(part)) for part in body.split("."))
            genuine = hmac.compare_digest(self._signature(body), _decode(signature))
            if not genuine or header.get("alg") != "HS256" or claims["aud"] != self._service:
                raise Unauthorized("invalid token")
            if not claims["nbf"] <= now < claims["exp"]:
                raise Unauthorized("token has expired")
            scopes = tuple(_scope(entry) for entry in claims["access"])
            return Token(claims["sub"], scopes, claims["exp"], claims.get("refresh", ""))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Unauthorized("invalid token") from error

    def _signature(self, body: str) -> bytes:
        return hmac.digest(self._secret, body.encode(), "sha256")


def narrowed(wanted: Iterable[Scope], allowed: dict[str, frozenset[str]]) -> tuple[Scope, ...]:
    """What of ``wanted`` is allowed; ``*`` stands for deletion in old clients.

    Everybody may list: they see what they may pull.
    """
    granted = []
    for scope in wanted:
        if scope.kind == "registry" and scope.name == "catalog":
            granted.append(Scope(scope.kind, scope.name, scope.actions & {"*", "search"}))
        actions = {"delete" if action == "*" else action for action in scope.actions} & allowed.get(
            scope.name, frozenset()
        )
        if actions and scope.kind == "repository":
            granted.append(Scope(scope.kind, scope.name, frozenset(actions)))
    return tuple(granted)


def _claim(scope: Scope) -> dict[str, Any]:
    return {"type": scope.kind, "name": scope.name, "actions": sorted(scope.actions)}


def _scope(entry: dict[str, Any]) -> Scope:
    return Scope(str(entry["type"]), str(entry["name"]), frozenset(entry["actions"]))


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
