"""A frontend's options, as buildx and compose send them, made into ours.  Pure.

build-arg:NAME  label:NAME  context:NAME  local-sessionid:NAME  target  platform  filename  no-cache  add-hosts …
"""

from __future__ import annotations

import csv
import ipaddress
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from corten.buildkit.messages.shared import CacheEntry
from corten.engine.builds.options import DEFAULT_DOCKERFILE, BuildOptions
from corten.errors import Invalid, NotImplementedYet
from corten.spec.platform import host, parse_all

BUILD_ARG, LABEL, CONTEXT, SESSION = "build-arg:", "label:", "context:", "local-sessionid:"
UPLOAD = "http://buildkit-session/"
IMAGE = "docker-image://"
CLIENT = "client-session"
# docker: the frontend that a Dockerfile's own "syntax" would name; ours speaks the language.
_SYNTAXES = ("docker/dockerfile", "docker.io/docker/dockerfile", "docker/dockerfile-upstream")
CACHE_IMPORTS = ("local", "registry")
_NETWORKS = {"": "", "sandbox": "", "host": "host", "none": "none"}


@dataclass(frozen=True, slots=True)
class Frontend:
    """What to build, and from where.

    ``context`` and ``dockerfile`` name directories of the session, ``remote`` is a URL that takes the context's place
    (then ``dockerfile`` is "" unless the client has the file).  ``named`` are the contexts as written.
    """

    options: BuildOptions
    context: str = "context"
    dockerfile: str = "dockerfile"
    remote: str = ""
    named: Mapping[str, str] = field(default_factory=dict)
    sessions: Mapping[str, str] = field(default_factory=dict)
    question: str = ""
    cache_imports: tuple[CacheEntry, ...] = ()
    # Several, or one of which an index is to be made nevertheless; empty for a plain image.
    platforms: tuple[str, ...] = ()


def read(frontend: str, options: Mapping[str, str], entitlements: frozenset[str]) -> Frontend:
    """Raises Invalid, and NotImplementedYet for what this engine has not."""
    _check_frontend(frontend, options)
    remote = options.get(options.get("contextkey", "context"), "")
    has_own_dockerfile = "dockerfilekey" in options
    return Frontend(
        _options(options, entitlements),
        context=options.get("contextkey", "context"),
        dockerfile=options.get("dockerfilekey", "dockerfile") if has_own_dockerfile or not remote else "",
        remote=remote,
        named=_prefixed(options, CONTEXT),
        sessions=_prefixed(options, SESSION),
        question=options.get("requestid", ""),
        cache_imports=_cache_imports(options),
        platforms=_platforms(options),
    )


def _check_frontend(frontend: str, options: Mapping[str, str]) -> None:
    if frontend == "gateway.v0":
        source = options.get("source", "").partition("@")[0].rpartition(":")[0] or options.get("source", "")
        if source not in _SYNTAXES:
            raise NotImplementedYet(f"the frontend {options.get('source', '')} is not supported by this engine")
    elif frontend != "dockerfile.v0":
        raise NotImplementedYet(f"the frontend {frontend} is not supported by this engine")
    for name in options:
        if name.startswith("attest:"):
            raise NotImplementedYet(f"attestations ({name}) are not supported by this engine")


def _options(options: Mapping[str, str], entitlements: frozenset[str]) -> BuildOptions:
    skipped = options.get("no-cache")
    return BuildOptions(
        dockerfile=options.get("filename", "") or DEFAULT_DOCKERFILE,
        build_args=dict(_prefixed(options, BUILD_ARG)),
        labels=_prefixed(options, LABEL),
        cache_from=tuple(name for name in options.get("cache-from", "").split(",") if name),
        no_cache=skipped == "",
        no_cache_filter=tuple(skipped.split(",")) if skipped else (),
        pull=options.get("image-resolve-mode", "") == "pull",
        target=options.get("target", ""),
        platform=_platform(options.get("platform", "").partition(",")[0]),
        network=_network(options, entitlements),
        extra_hosts=_hosts(options.get("add-hosts", "")),
        shm_size=_number(options, "shm-size"),
        ulimits=_ulimits(options.get("ulimit", "")),
        cgroup_parent=options.get("cgroup-parent", ""),
        entitlements=entitlements,
        apply_ignore=False,
    )


def _prefixed(options: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {name.removeprefix(prefix): value for name, value in options.items() if name.startswith(prefix)}


def _platforms(options: Mapping[str, str]) -> tuple[str, ...]:
    found = parse_all(options.get("platform", ""))
    is_index = options.get("multi-platform", "") in ("1", "true")
    return (found or (str(host()),)) if is_index or len(found) > 1 else ()


def _platform(text: str) -> str:
    # The host's own, asked for by name, is what every image here is for.
    return "" if text == str(host()) else text


def _network(options: Mapping[str, str], entitlements: frozenset[str]) -> str:
    mode = options.get("force-network-mode", "")
    if mode not in _NETWORKS:
        raise Invalid(f"invalid netmode {mode}")
    if mode == "host" and "network.host" not in entitlements:
        raise Invalid("network.host is not allowed")
    return _NETWORKS[mode]


def _number(options: Mapping[str, str], name: str) -> int:
    text = options.get(name, "") or "0"
    if not (text.isascii() and text.isdigit()):
        raise Invalid(f"invalid {name}: {text}")
    return int(text)


def _fields(text: str) -> list[str]:
    return next(csv.reader([text]), []) if text else []


def _hosts(text: str) -> tuple[str, ...]:
    found = []
    for entry in _fields(text):
        name, equals, address = entry.partition("=")
        try:
            ipaddress.ip_address(address)
        except ValueError:
            raise Invalid(f"failed to parse IP {address}" if equals else f"invalid key-value pair {entry}") from None
        found.append(f"{name}:{address}")
    return tuple(found)


def _ulimits(text: str) -> tuple[Mapping[str, Any], ...]:
    found = []
    for entry in _fields(text):
        name, _, values = entry.partition("=")
        soft, _, hard = values.partition(":")
        try:
            found.append({"Name": name, "Soft": int(soft), "Hard": int(hard or soft)})
        except ValueError:
            raise Invalid(f"invalid ulimit argument: {entry}") from None
    return tuple(found)


def _cache_imports(options: Mapping[str, str]) -> tuple[CacheEntry, ...]:
    """--cache-from: caches to continue from, each once."""
    try:
        entries = json.loads(options.get("cache-imports", "") or "[]")
        found = [
            CacheEntry(str(each["Type"]), {str(name): str(value) for name, value in (each.get("Attrs") or {}).items()})
            for each in entries
        ]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Invalid(f"failed to unmarshal cache-imports: {error}") from None
    for entry in found:
        if entry.type not in CACHE_IMPORTS:
            raise NotImplementedYet(
                f"cache import from {entry.type!r} is not supported by this engine, which reads registry and local"
            )
        if entry.type == "registry" and not entry.attrs.get("ref"):
            raise Invalid("registry cache importer requires ref")
    return tuple(entry for position, entry in enumerate(found) if entry not in found[:position])


def attributes(options: BuildOptions) -> dict[str, str]:
    """The other way round: the parameters of POST /build as a frontend's options."""
    network = options.network if options.network in ("host", "none") else ""
    if options.network not in ("", "default", "bridge", network):
        raise Invalid(f"network mode {options.network!r} not supported by buildkit")
    ulimits = [f"{each['Name']}={each['Soft']}:{each['Hard']}" for each in options.ulimits]
    found = {
        "filename": options.dockerfile,
        "target": options.target,
        "cache-from": ",".join(options.cache_from),
        "image-resolve-mode": "pull" if options.pull else "",
        "platform": options.platform,
        "force-network-mode": network,
        "add-hosts": ",".join("=".join(entry.split(":", 1)) for entry in options.extra_hosts),
        "shm-size": str(options.shm_size) if options.shm_size else "",
        "ulimit": ",".join(ulimits),
        "cgroup-parent": options.cgroup_parent,
        "context": options.remote if options.remote != CLIENT else "",
        **{f"{LABEL}{name}": value for name, value in options.labels.items()},
        **{f"{BUILD_ARG}{name}": value for name, value in options.build_args.items() if value is not None},
    }
    kept = {name: value for name, value in found.items() if value or name.startswith((LABEL, BUILD_ARG))}
    return kept | ({"no-cache": ""} if options.no_cache else {})
