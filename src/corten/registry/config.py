"""How a registry is set up: one frozen value, read from TOML.

    addr = "0.0.0.0:5000"          root = "/var/lib/corten-registry"      processes = 2
    read_only = false              deletes = true                         log = "json"
    [tls]        certificate = "…"  key = "…"  client_ca = "…"
    [auth]       htpasswd = "…"  anonymous_pull = false  token = true  service = "…"  lifetime = 300
    [[access]]   repositories = ["team/**"]  users = ["alice"]  actions = ["pull", "push", "delete"]
    [[quota]]    repositories = ["**"]  size = "10GB"
    [[webhook]]  url = "https://…"  headers = { Authorization = "…" }  actions = ["push"]
    [upstream]   url = "https://registry-1.docker.io"  username = "…"  password = "…"  fresh = 300
    [collect]    every = 3600  grace = 3600  untagged_after = 0  uploads_after = 86400
    [s3]         bucket = "…"  prefix = ""  endpoint = "…"  region = "…"  lease = 30

An unknown key is an error: a misspelt permission must not pass unseen.
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from corten.errors import Invalid

ACTIONS = frozenset({"pull", "push", "delete"})
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Tls:
    """Certificates."""

    certificate: str
    key: str
    client_ca: str = ""


@dataclass(frozen=True, slots=True)
class AuthOptions:
    """Who is let in."""

    htpasswd: str
    anonymous_pull: bool = False
    token: bool = False
    realm: str = ""
    service: str = "corten-registry"
    lifetime: float = 300.0


@dataclass(frozen=True, slots=True)
class AccessRule:
    """Who may do what; ``users`` may hold ``*`` (every known user) and ``anonymous``."""

    repositories: tuple[str, ...]
    users: tuple[str, ...]
    actions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class QuotaRule:
    """The bytes that each of the matching repositories may hold."""

    repositories: tuple[str, ...]
    size: str

    @property
    def limit(self) -> int:
        """In bytes."""
        return parse_size(self.size)


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where happenings are told."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    actions: tuple[str, ...] = ("push", "delete", "mount")
    timeout: float = 10.0
    attempts: int = 6
    backoff: float = 1.0


@dataclass(frozen=True, slots=True)
class UpstreamOptions:
    """The registry that this one caches."""

    url: str
    username: str = ""
    password: str = ""
    fresh: float = 300.0


@dataclass(frozen=True, slots=True)
class CollectOptions:
    """Garbage collection; ``every`` 0 is never by itself, ``untagged_after`` 0 keeps untagged manifests."""

    every: float = 0.0
    grace: float = 3600.0
    untagged_after: float = 0.0
    uploads_after: float = 86400.0


@dataclass(frozen=True, slots=True)
class S3Options:
    """Object storage in place of the root directory."""

    bucket: str
    prefix: str = ""
    endpoint: str = ""
    region: str = ""
    lease: float = 30.0  # how long a killed process is waited for


@dataclass(frozen=True, slots=True)
class Options:
    """Everything."""

    addr: str = "127.0.0.1:5000"
    root: str = ""
    processes: int = 1
    read_only: bool = False
    deletes: bool = True
    log: str = "text"
    max_manifest_size: int = 8 << 20
    stall_timeout: float = 60.0
    header_timeout: float = 30.0
    metrics: bool = True
    ui: bool = True
    tls: Tls | None = None
    auth: AuthOptions | None = None
    access: tuple[AccessRule, ...] = ()
    quota: tuple[QuotaRule, ...] = ()
    webhook: tuple[Webhook, ...] = ()
    upstream: UpstreamOptions | None = None
    collect: CollectOptions = CollectOptions()
    s3: S3Options | None = None

    def __post_init__(self) -> None:
        for rule in self.access:
            if not set(rule.actions) <= ACTIONS:
                raise Invalid(f"access: actions are {', '.join(sorted(ACTIONS))}, not {', '.join(rule.actions)}")
        for quota in self.quota:
            parse_size(quota.size)
        if self.access and self.auth is None:
            raise Invalid("access rules need [auth] with an htpasswd file")
        if self.log not in ("text", "json"):
            raise Invalid(f"log is text or json, not {self.log!r}")
        self.listen()

    def listen(self) -> tuple[str, int]:
        """The host and port of ``addr``; no host is all of them."""
        found = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([^:\[\]]*)):([0-9]{1,5})", self.addr)
        if found is None or int(found[3]) > 65535:
            raise Invalid(f"invalid address {self.addr!r}: expected host:port")
        return found[1] or found[2] or "0.0.0.0", int(found[3])


_TABLES: dict[str, type] = {
    "tls": Tls,
    "auth": AuthOptions,
    "upstream": UpstreamOptions,
    "collect": CollectOptions,
    "s3": S3Options,
}
_LISTS: dict[str, type] = {"access": AccessRule, "quota": QuotaRule, "webhook": Webhook}


def load(path: Path) -> Options:
    """The options in a TOML file; Invalid tells where it is wrong."""
    try:
        body = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise Invalid(f"{path}: no such file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"{path}: {error}") from error
    try:
        return parse(body)
    except Invalid as error:
        raise Invalid(f"{path}: {error}") from error


def parse(body: Mapping[str, Any]) -> Options:
    """The options that a decoded document tells."""
    values: dict[str, Any] = dict(body)
    for name, kind in _TABLES.items():
        if name in values:
            values[name] = _build(kind, values[name], name)
    for name, kind in _LISTS.items():
        if name in values:
            if not isinstance(values[name], list):
                raise Invalid(f"{name}: expected [[{name}]]")
            values[name] = tuple(_build(kind, entry, name) for entry in values[name])
    return _build(Options, values, "")


def _build(kind: type[_T], body: Any, where: str) -> _T:
    label = f"{where}: " if where else ""
    if not isinstance(body, Mapping):
        raise Invalid(f"{label}expected a table")
    fields = {entry.name: entry for entry in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for name in body:
        if name not in fields:
            raise Invalid(f"{label}unknown key {name!r}; there are {', '.join(fields)}")
    values = {name: _value(f"{label}{name}", str(fields[name].type), value) for name, value in body.items()}
    try:
        return kind(**values)
    except TypeError as error:
        raise Invalid(f"{label}{str(error).partition(') ')[2] or error}") from error


def _value(label: str, annotation: str, value: Any) -> Any:
    checked: Any = value
    expected: dict[str, tuple[type, ...]] = {
        "str": (str,),
        "int": (int,),
        "float": (int, float),
        "bool": (bool,),
        "tuple[str, ...]": (list, tuple),
        "Mapping[str, str]": (Mapping,),
    }
    kinds = expected.get(annotation)
    if kinds is None:
        return value
    if not isinstance(value, kinds) or (isinstance(value, bool) and annotation != "bool"):
        raise Invalid(f"{label}: expected {annotation}, got {value!r}")
    if annotation.startswith("tuple"):
        return tuple(str(entry) for entry in checked)
    return float(checked) if annotation == "float" else value


def parse_size(text: str) -> int:
    """``10GB``, ``512MiB``, ``1000``."""
    found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?i?)b?\s*", text, re.IGNORECASE)
    if found is None or found[2].lower() not in _UNITS:
        raise Invalid(f"invalid size {text!r}")
    return int(float(found[1]) * _UNITS[found[2].lower()])
