"""Passwords for registries: ``auths``, ``credsStore`` and ``credHelpers`` of the configuration, and X-Registry-Auth.

Owns: which store answers for a registry, the protocol of Docker's credential helpers (a program that is given a
command and reads standard input), the header in which the daemon is told.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any, NamedTuple

from corten.client.config import Config
from corten.errors import CortenError, Invalid, Unavailable

# docker: Docker Hub is filed under this address, not under its name.
HUB = "https://index.docker.io/v1/"
HUB_NAMES = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})


class Credential(NamedTuple):
    """What a registry is told."""

    server: str
    username: str = ""
    password: str = ""
    identity_token: str = ""

    def to_json(self) -> dict[str, str]:
        """Docker's AuthConfig."""
        fields = {"username": self.username, "password": self.password, "identitytoken": self.identity_token}
        return {**{name: value for name, value in fields.items() if value}, "serveraddress": self.server}

    def header(self) -> str:
        """The value of X-Registry-Auth."""
        return encode_header(self.to_json())


def encode_header(value: dict[str, Any]) -> str:
    """JSON in the base64 of RFC 4648 section 5, as X-Registry-Auth and X-Registry-Config carry it."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


def registry_key(server: str) -> str:
    """How the configuration files a registry."""
    return HUB if not server or server in HUB_NAMES or server == HUB else bare(server)


def bare(server: str) -> str:
    """A registry's host and port, without scheme and path."""
    return server.partition("://")[2].partition("/")[0] if "://" in server else server.partition("/")[0]


def registry_of(image: str) -> str:
    """The registry that an image name belongs to."""
    first, slash, _ = image.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost" or first != first.lower()):
        return first
    return "docker.io"


def lookup(config: Config, server: str) -> Credential:
    """What is stored for a registry; an empty credential where nothing is."""
    key = registry_key(server)
    if helper := helper_for(config, key):
        return _from_helper(helper, key)
    for name, entry in config.table("auths").items():
        if registry_key(name) == key and isinstance(entry, dict):
            return _from_entry(key, entry)
    return Credential(key)


def everything(config: Config) -> dict[str, dict[str, str]]:
    """All that is stored, as X-Registry-Config carries it to a build."""
    servers = {registry_key(name) for name in (*config.table("auths"), *config.table("credHelpers"))}
    if store := config.text("credsStore"):
        servers.update(_listed(store))
    found = {server: lookup(config, server) for server in sorted(servers)}
    return {server: value.to_json() for server, value in found.items() if value.password or value.identity_token}


def helper_for(config: Config, key: str) -> str:
    """The helper program's short name, empty where the file itself holds the passwords."""
    named = config.table("credHelpers")
    return str(named.get(key) or named.get(bare(key)) or config.text("credsStore"))


def _from_entry(key: str, entry: dict[str, Any]) -> Credential:
    username, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    if entry.get("auth"):
        try:
            username, _, password = base64.b64decode(str(entry["auth"]), validate=True).decode().partition(":")
        except (binascii.Error, ValueError) as error:
            raise Invalid(f"invalid auth configuration for {key}") from error
    return Credential(key, username, password.strip("\0"), str(entry.get("identitytoken") or ""))


def store(config: Config, credential: Credential) -> bool:
    """Remember a credential; True if the file itself now holds it in clear."""
    key = credential.server
    auths = config.data.setdefault("auths", {})
    if helper := helper_for(config, key):
        name, secret = (
            ("<token>", credential.identity_token)
            if credential.identity_token
            else (credential.username, credential.password)
        )
        _call(helper, "store", json.dumps({"ServerURL": key, "Username": name, "Secret": secret}))
        auths[key] = {}
        config.save()
        return False
    text = f"{credential.username}:{credential.password if not credential.identity_token else ''}"
    auths[key] = {"auth": base64.b64encode(text.encode()).decode()}
    if credential.identity_token:
        auths[key]["identitytoken"] = credential.identity_token
    config.save()
    return True


def erase(config: Config, server: str) -> bool:
    """Forget a registry; False if nothing was known of it."""
    key = registry_key(server)
    known = [name for name in config.table("auths") if registry_key(name) == key]
    helper = helper_for(config, key)
    if helper:
        try:
            _call(helper, "erase", key)
        except CortenError:
            if not known:
                return False
    for name in known:
        del config.data["auths"][name]
    if known:
        config.save()
    return bool(known or helper)


def _from_helper(helper: str, key: str) -> Credential:
    try:
        answer = json.loads(_call(helper, "get", key))
    except Invalid:
        return Credential(key)  # credentials not found
    except ValueError as error:
        raise Unavailable(f"docker-credential-{helper} gave no JSON") from error
    username, secret = str(answer.get("Username", "")), str(answer.get("Secret", ""))
    if username == "<token>":
        return Credential(key, identity_token=secret)
    return Credential(key, username, secret)


def _listed(helper: str) -> list[str]:
    try:
        return [registry_key(name) for name in json.loads(_call(helper, "list", ""))]
    except (CortenError, ValueError):
        return []


def _call(helper: str, command: str, text: str) -> str:
    import subprocess  # noqa: PLC0415  15 ms, wanted by few

    if not helper.replace("-", "").replace("_", "").replace(".", "").isalnum():
        raise Unavailable(f"credential helper {helper!r}: not a name")
    program = f"docker-credential-{helper}"
    try:
        done = subprocess.run([program, command], input=text, capture_output=True, text=True, check=False)
    except OSError as error:
        raise Unavailable(f'error getting credentials - err: exec: "{program}": {error.strerror}') from error
    if done.returncode:
        raise Invalid(f"error getting credentials - err: {(done.stdout or done.stderr).strip()}")
    return done.stdout
