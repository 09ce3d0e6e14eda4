"""Credentials as clients send them (X-Registry-Auth, X-Registry-Config, POST /auth), made into values.

Owns: the field names of AuthConfig and which entry of a map is meant for a registry.  Pure.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from corten.distribution.model import NOBODY, Credentials
from corten.spec.reference import DEFAULT_REGISTRY

# docker: the hub's entry keeps the name of the first registry protocol.
HUB_NAMES = ("https://index.docker.io/v1/", "index.docker.io", "docker.io", "registry-1.docker.io")


def parse(body: Mapping[str, Any]) -> Credentials:
    """One AuthConfig; ``auth`` is name and password in base64 where they are not given apart."""
    username, password = str(body.get("username") or ""), str(body.get("password") or "")
    if not username and (packed := body.get("auth")):
        username, _, password = _unpack(str(packed)).partition(":")
    return Credentials(
        username=username,
        password=password,
        identity_token=str(body.get("identitytoken") or body.get("IdentityToken") or ""),
        registry_token=str(body.get("registrytoken") or body.get("RegistryToken") or ""),
    )


def _unpack(text: str) -> str:
    try:
        return base64.b64decode(text, validate=False).decode("utf-8", "replace").rstrip("\0")
    except (ValueError, binascii.Error):
        return ""


def select(entries: Mapping[str, Mapping[str, Any]], registry: str) -> Credentials:
    """The entry for a registry among those of X-Registry-Config; nobody's where there is none."""
    for name, entry in entries.items():
        if server(name) == registry:
            return parse(entry)
    return NOBODY


def server(address: str) -> str:
    """The registry that a server address means: ``https://host/v1/`` is ``host``, none at all is the hub."""
    if not address or address in HUB_NAMES:
        return DEFAULT_REGISTRY
    host = urlsplit(address).netloc if "://" in address else address.partition("/")[0]
    return DEFAULT_REGISTRY if host in HUB_NAMES else host
