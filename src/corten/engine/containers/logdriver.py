"""Log drivers: which there are, what options they take, and what the shim is told of them.

Owns: the words of refusal, and the bounds.  Every driver but ``none`` keeps a bounded file that ``docker logs`` reads;
``journald`` and ``syslog`` send each line on besides.  What a sink does with a line is in ``runtime/logsink.py``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from corten.api import patterns
from corten.engine.containers.model import Container
from corten.errors import Internal, Invalid, NotImplementedYet

# A container that nobody bounded never fills the disk: said in the docs, unlike dockerd's json-file.
DEFAULT_SIZE, DEFAULT_FILES = 20 << 20, 5
JOURNAL_SOCKET = "/run/systemd/journal/socket"
_SYSLOG_SOCKETS = ("/dev/log", "/var/run/syslog", "/var/run/log")
_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}

_COMMON = frozenset({"mode", "max-buffer-size"})
_FILE = frozenset({"max-size", "max-file", "compress"})
_NAMING = frozenset({"labels", "labels-regex", "env", "env-regex", "tag"})
_CACHE = frozenset({"cache-disabled", "cache-max-size", "cache-max-file", "cache-compress"})
_SYSLOG = frozenset({"syslog-address", "syslog-facility", "syslog-format"})
_TLS = frozenset({"syslog-tls-ca-cert", "syslog-tls-cert", "syslog-tls-key", "syslog-tls-skip-verify"})
OPTIONS: Mapping[str, frozenset[str]] = {
    "json-file": _COMMON | _FILE | _NAMING,
    "local": _COMMON | _FILE | _NAMING,
    "none": frozenset(),
    "journald": _COMMON | _NAMING | _CACHE,
    "syslog": _COMMON | _NAMING | _CACHE | _SYSLOG | _TLS,
}
DRIVERS = frozenset(OPTIONS)
_SENDING = frozenset({"journald", "syslog"})

_FACILITIES = [
    *("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp"),
    *("12", "13", "14", "15"),
    *(f"local{number}" for number in range(8)),
]
_FORMATS = ("", "rfc3164", "rfc5424", "rfc5424micro")
_TAG = re.compile(r"\{\{\s*\.?(\w+)\s*\}\}")


def check(kind: str, options: Mapping[str, str]) -> None:
    """Raise Invalid, in dockerd's words, for a driver or an option that is not known."""
    if kind not in DRIVERS:
        raise Invalid(f"logger: no log driver named '{kind}' is registered")
    for name in options:
        if name not in OPTIONS[kind]:
            raise Invalid(f"unknown log opt '{name}' for {kind} log driver")
    if options.get("mode", "blocking") not in ("blocking", "non-blocking"):
        raise Invalid(f"logger: logging mode not supported: {options['mode']}")
    prefix = "cache-" if kind in _SENDING else ""
    files = _count(options.get(f"{prefix}max-file", str(DEFAULT_FILES)))
    size(options.get(f"{prefix}max-size", "1m"))
    if options.get(f"{prefix}compress", "false") not in ("true", "false"):
        raise Invalid(f"invalid value for compress: {options[f'{prefix}compress']}")
    if options.get("compress") == "true" and files < 2:
        raise Invalid("compress cannot be true when max-file is less than 2 or max-size is not set")
    for name in ("labels-regex", "env-regex"):
        try:
            patterns.compile_expression(options.get(name, ""))
        except Invalid as error:
            raise Invalid(f"invalid {name}: {error.message}") from error
    if kind == "syslog":
        _syslog(options, must_exist=False)


def size(text: str) -> int:
    """Bytes; -1 is unbounded, which is 0 here."""
    number = text.strip().lower()
    unit = number[-1:] if number[-1:].isalpha() else ""
    if number == "-1":
        return 0
    try:
        found = int(float(number.removesuffix(unit)) * _UNITS[unit])
    except (KeyError, ValueError, OverflowError):
        found = -1
    if found < 0:
        raise Invalid(f"invalid size: '{text}'")
    return found


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise Invalid(f"max-file cannot be less than 1: {text!r}")
    return int(text)


def keeps_file(kind: str, options: Mapping[str, str]) -> bool:
    """Whether ``docker logs`` has something to read."""
    return kind != "none" and options.get("cache-disabled", "false") != "true"


def shim_options(record: Container, path: str) -> dict[str, Any]:
    """The part of ShimOptions that is about logs; raises Internal where a receiver is missing."""
    log = record.host_config["LogConfig"]
    kind, given = str(log["Type"]), dict(log["Config"] or {})
    prefix = "cache-" if kind in _SENDING else ""
    packs = "false" if kind == "json-file" else "true"
    limit = given.get(f"{prefix}max-size")
    found: dict[str, Any] = {
        "log_path": path if kind != "none" else None,
        "log_max_size": size(limit) if limit is not None else DEFAULT_SIZE,
        "log_max_file": _count(given.get(f"{prefix}max-file", str(DEFAULT_FILES))),
        "log_compress": given.get(f"{prefix}compress", packs) == "true",
        "log_attrs": _attributes(record, given),
    }
    if kind in _SENDING:
        if not keeps_file(kind, given):  # the file is where lines are cut; without a cache it is kept minimal
            found |= {"log_max_size": 1 << 20, "log_max_file": 1, "log_compress": False}
        found["log_sink"] = _journal(record, given) if kind == "journald" else _syslog_sink(record, given)
    return found


def _attributes(record: Container, options: Mapping[str, str]) -> dict[str, str]:
    env = dict(item.partition("=")[::2] for item in record.config["Env"] or () if "=" in item)
    found = _chosen(record.labels, options, "labels") | _chosen(env, options, "env")
    if "tag" in options:
        found["tag"] = tag(record, options["tag"])
    return found


def _chosen(values: Mapping[str, str], options: Mapping[str, str], name: str) -> dict[str, str]:
    listed = set(options.get(name, "").split(",")) - {""}
    pattern = options.get(f"{name}-regex")
    return {
        key: value
        for key, value in values.items()
        if key in listed or (pattern is not None and patterns.found(pattern, key))
    }


def tag(record: Container, template: str) -> str:
    """``--log-opt tag``: dockerd's template fields."""
    values = {
        "ID": record.short_id,
        "FullID": record.id,
        "Name": record.name,
        "ImageID": record.image_id.removeprefix("sha256:")[:12],
        "ImageFullID": record.image_id,
        "ImageName": record.image_name,
        "DaemonName": "docker",
    }

    def value(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise Invalid(f"failed to initialize logging driver: template: log-tag: can't evaluate field {match[1]}")
        return values[match[1]]

    return _TAG.sub(value, template)


def _journal(record: Container, options: Mapping[str, str]) -> dict[str, Any]:
    if not os.path.exists(JOURNAL_SOCKET):
        raise Internal("failed to initialize logging driver: journald is not enabled on this host")
    name = tag(record, options.get("tag", "{{.ID}}"))
    fields = {
        "CONTAINER_ID": record.short_id,
        "CONTAINER_ID_FULL": record.id,
        "CONTAINER_NAME": record.name,
        "CONTAINER_TAG": name,
        "IMAGE_NAME": record.image_name,
        "SYSLOG_IDENTIFIER": name,
    }
    extra = {key: value for key, value in _attributes(record, options).items() if key != "tag"}
    fields |= {re.sub(r"[^A-Z0-9_]", "_", key.upper()).lstrip("_"): value for key, value in extra.items()}
    return {"kind": "journald", "address": JOURNAL_SOCKET, "fields": fields}


def _syslog_sink(record: Container, options: Mapping[str, str]) -> dict[str, Any]:
    return {**_syslog(options, must_exist=True), "tag": tag(record, options.get("tag", "{{.ID}}"))}


def _syslog(options: Mapping[str, str], *, must_exist: bool) -> dict[str, Any]:
    """The sink's options but the tag; raises Invalid for an address that makes no sense."""
    if any(name in options for name in _TLS):
        raise NotImplementedYet("syslog over TLS is not supported: use a local relay and tcp:// or udp://")
    facility = options.get("syslog-facility", "daemon")
    if facility not in _FACILITIES and not (facility.isdecimal() and int(facility) < len(_FACILITIES)):
        raise Invalid(f"invalid syslog facility: {facility}")
    style = options.get("syslog-format", "")
    if style not in _FORMATS:
        raise Invalid(f"Invalid syslog format: {style}")
    text = options.get("syslog-address")
    if text is None:
        found = next((each for each in _SYSLOG_SOCKETS if os.path.exists(each)), "")
        if not found and must_exist:
            raise Internal("failed to initialize logging driver: Unix syslog delivery error")
        return _receiver("unixgram", found, 0, facility, style)
    try:
        url = urlsplit(text)
    except ValueError as error:
        raise Invalid(f"invalid syslog-address {text}: {error}") from error
    if url.scheme in ("unix", "unixgram"):
        if not url.path.startswith("/"):
            raise Invalid(f"unsupported syslog-address: {text}")
        if must_exist and not os.path.exists(url.path):
            raise Internal(f"failed to initialize logging driver: nothing listens at {url.path}")
        return _receiver(url.scheme, url.path, 0, facility, style)
    if url.scheme == "tcp+tls":
        raise NotImplementedYet("syslog over TLS is not supported: use a local relay and tcp:// or udp://")
    try:
        host, port = url.hostname, url.port or 514
    except ValueError as error:
        raise Invalid(f"invalid syslog-address {text}: {error}") from error
    if url.scheme not in ("udp", "tcp") or not host:
        raise Invalid(f"unsupported scheme: '{url.scheme}' in syslog-address {text}")
    return _receiver(url.scheme, host, port, facility, style)


def _receiver(scheme: str, address: str, port: int, facility: str, style: str) -> dict[str, Any]:
    number = int(facility) if facility.isdecimal() else _FACILITIES.index(facility)
    return {
        "kind": "syslog", "scheme": scheme, "address": address, "port": port, "facility": number, "format": style,
    }  # fmt: skip
