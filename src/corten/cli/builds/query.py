"""The query of POST /build for a command line: Docker's parameters and ours (docs/builds.md)."""

from __future__ import annotations

import json
import os
from typing import Any

from corten.cli.buildcontext import source
from corten.cli.builds.parts import Parts, fields
from corten.cli.containers import limits, network
from corten.cli.flags import Options
from corten.errors import Invalid

# flag -> parameter
_TEXTS = {
    "cgroup-parent": "cgroupparent",
    "cpuset-cpus": "cpusetcpus",
    "cpuset-mems": "cpusetmems",
    "isolation": "isolation",
    "network": "networkmode",
    "platform": "platform",
    "target": "target",
}
_NUMBERS = {"cpu-period": "cpuperiod", "cpu-quota": "cpuquota", "cpu-shares": "cpushares"}
_SIZES = {"memory": "memory", "memory-swap": "memswap", "shm-size": "shmsize"}
_SWITCHES = {
    "check": "check",
    "debug": "debug",
    "explain": "explain",
    "force-rm": "forcerm",
    "no-cache": "nocache",
    "pull": "pull",
    "quiet": "q",
    "squash": "squash",
}
_EPOCH = "SOURCE_DATE_EPOCH"


def parameters(options: Options, found: source.Source, parts: Parts) -> dict[str, Any]:
    """All of it; raises Invalid."""
    query: dict[str, Any] = {name: options.text(flag) for flag, name in _TEXTS.items()}
    query |= {name: options.number(flag) for flag, name in _NUMBERS.items() if options.given(flag)}
    query |= {name: options.size(flag) for flag, name in _SIZES.items() if options.given(flag)}
    query |= {name: options.on(flag) for flag, name in _SWITCHES.items()}
    named, imports = cache_from(options.many("cache-from"))
    query |= {
        "dockerfile": found.dockerfile,
        "remote": found.remote,
        "t": options.many("tag"),
        "rm": "1" if options.on("rm") else "0",
        "buildargs": arguments(options.many("build-arg")),
        "labels": dict(word.partition("=")[::2] for word in options.many("label")),
        "extrahosts": network.extra_hosts(options.many("add-host")),
        "securityopt": _list(options.many("security-opt")),
        "cachefrom": _list(named),
        "cacheimports": _list(imports),
        "cacheexports": _list(cache_to(options.many("cache-to"))),
        "nocachefilter": _list(options.many("no-cache-filter")),
        "allow": _list(options.many("allow")),
        "ulimits": _list(limits.ulimits(options.many("ulimit"))),
        "version": "1",
        **parts.queries,
    }
    return query


def _list(values: Any) -> str:
    return json.dumps(values, separators=(",", ":")) if values else ""


def arguments(words: list[str]) -> dict[str, str | None]:
    """``NAME=value``, or a bare NAME whose value is this environment's; unset there is null.

    As with buildx, SOURCE_DATE_EPOCH of the environment counts without being named.
    """
    found: dict[str, str | None] = {}
    for word in words:
        name, equals, value = word.partition("=")
        found[name] = value if equals else os.environ.get(name)
    if os.environ.get(_EPOCH):
        found.setdefault(_EPOCH, os.environ[_EPOCH])
    return found


def cache_from(words: list[str]) -> tuple[list[str], list[dict[str, str]]]:
    """Images by name, and ``type=registry,ref=…`` or ``type=local,src=…``."""
    names: list[str] = []
    entries: list[dict[str, str]] = []
    for word in _joined(words):
        if "=" not in word:
            names.append(word)
            continue
        entry = fields(word, "cache-from")
        kind = entry.get("type", "")
        if kind not in ("registry", "local", "inline"):
            raise Invalid(f"unknown cache importer: {kind!r}: registry and local can be read")
        if not entry.get("src" if kind == "local" else "ref"):
            raise Invalid(f"--cache-from type={kind} requires {'src' if kind == 'local' else 'ref'}")
        entries.append(entry)
    return names, entries


def _joined(words: list[str]) -> list[str]:
    """docker: this flag's values are split at commas; what belongs to one entry comes together again."""
    joined: list[str] = []
    for word in words:
        if "=" in word and not word.startswith("type=") and joined and "=" in joined[-1]:
            joined[-1] += f",{word}"
        else:
            joined.append(word)
    return joined


def cache_to(words: list[str]) -> list[dict[str, str]]:
    """``type=inline``, ``type=registry,ref=…`` or ``type=local,dest=…``."""
    entries: list[dict[str, str]] = []
    for word in words:
        entry = fields(word, "cache-to") if "=" in word else {"type": "registry", "ref": word}
        kind = entry.get("type", "")
        if kind not in ("registry", "local", "inline"):
            raise Invalid(f"unknown cache exporter: {kind!r}: registry, local and inline can be written")
        if kind != "inline" and not entry.get("dest" if kind == "local" else "ref"):
            raise Invalid(f"--cache-to type={kind} requires {'dest' if kind == 'local' else 'ref'}")
        entries.append(entry)
    return entries
