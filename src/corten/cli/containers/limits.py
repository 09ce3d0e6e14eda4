"""Devices, ulimits, block-device rates, health checks, log and security options of a container.

Owns: the grammar of each word and its shape in the API.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from corten.cli import values
from corten.errors import Invalid

if TYPE_CHECKING:
    from corten.cli.flags import Options


def device(word: str) -> dict[str, str]:
    """``/dev/x[:/dev/y][:rwm]``; raises Invalid."""
    parts = word.split(":")
    if len(parts) > 3 or not parts[0]:
        raise Invalid(f"invalid device specification: {word}")
    host, inside, rights = parts[0], parts[0], "rwm"
    if len(parts) == 3:
        inside, rights = parts[1] or inside, parts[2]
    elif len(parts) == 2:
        if _is_rights(parts[1]):
            rights = parts[1]
        else:
            inside = parts[1]
    if not _is_rights(rights):
        raise Invalid(f"invalid device mode: {rights}")
    return {"PathOnHost": host, "PathInContainer": inside, "CgroupPermissions": rights}


def _is_rights(text: str) -> bool:
    return bool(text) and set(text) <= set("rwm") and len(set(text)) == len(text)


def ulimits(words: Iterable[str]) -> list[dict[str, Any]]:
    """``name=soft[:hard]`` words, by name; raises Invalid."""
    found: dict[str, dict[str, Any]] = {}
    for word in words:
        name, equals, limits = word.partition("=")
        soft, colon, hard = limits.partition(":")
        try:
            low = int(soft)
            high = int(hard) if colon else low
        except ValueError as error:
            raise Invalid(f"invalid ulimit argument: {word}") from error
        if not equals or not name:
            raise Invalid(f"invalid ulimit argument: {word}")
        if low > high != -1:
            raise Invalid(f"ulimit soft limit must be less than or equal to hard limit: {low} > {high}")
        found[name] = {"Name": name, "Soft": low, "Hard": high}
    return [found[name] for name in sorted(found)]


def weights(words: Iterable[str]) -> list[dict[str, Any]]:
    """``path:weight`` words; raises Invalid."""
    found: list[dict[str, Any]] = []
    for word in words:
        path, colon, weight = word.rpartition(":")
        if not colon or not path.startswith("/dev/") or not weight.isdecimal():
            raise Invalid(f"bad format: {word}")
        if int(weight) and not 10 <= int(weight) <= 1000:
            raise Invalid(f"invalid weight for device: {word}")
        found.append({"Path": path, "Weight": int(weight)})
    return found


def rates(words: Iterable[str], *, sizes: bool) -> list[dict[str, Any]]:
    """``path:rate`` words, the rate a size or a count; raises Invalid."""
    found: list[dict[str, Any]] = []
    form = "<device-path>:<number>[<unit>]" if sizes else "<device-path>:<number>"
    for word in words:
        path, colon, rate = word.rpartition(":")
        if not colon or not path.startswith("/dev/"):
            raise Invalid(f"bad format: {word}")
        try:
            number = values.parse_bytes(rate) if sizes else int(rate)
        except (ValueError, Invalid):
            number = -1
        if number < 0:
            refused = f"invalid rate for device: {word}. The correct format is {form}"
            unit = ". Unit is optional and can be kb, mb, or gb" if sizes else ""
            raise Invalid(f"{refused}. Number must be a positive integer{unit}")
        found.append({"Path": path, "Rate": number})
    return found


def health(options: Options) -> dict[str, Any] | None:
    """Healthcheck of the API; None leaves the image's own."""
    times = {
        "health-interval": "Interval",
        "health-timeout": "Timeout",
        "health-start-period": "StartPeriod",
        "health-start-interval": "StartInterval",
    }
    kinds = ("health-cmd", "health-http", "health-tcp", "health-file")
    given = [name for name in (*times, *kinds, "health-retries") if options.given(name)]
    if options.on("no-healthcheck"):
        if given:
            raise Invalid("--no-healthcheck conflicts with --health-* options")
        return {"Test": ["NONE"]}
    if not given:
        return None
    for name in times:
        if options.duration(name) < 0:
            raise Invalid(f"--{name} cannot be negative")
    if options.number("health-retries") < 0:
        raise Invalid("--health-retries cannot be negative")
    check: dict[str, Any] = {field: options.duration(name) for name, field in times.items() if options.given(name)}
    asked = [name for name in kinds if options.text(name)]
    if len(asked) > 1:
        raise Invalid(f"--{asked[0]} conflicts with --{asked[1]}")
    for name in asked:
        kind = {"health-cmd": "CMD-SHELL"}.get(name) or name.removeprefix("health-").upper()
        check["Test"] = [kind, options.text(name)]
    if options.given("health-retries"):
        check["Retries"] = options.number("health-retries")
    return check


def security(words: Iterable[str]) -> tuple[list[str], bool]:
    """SecurityOpt with profiles read from their files, and whether system paths are left open; raises Invalid."""
    found: list[str] = []
    open_paths = False
    for word in words:
        name, equals, value = word.partition("=")
        if not equals and word != "no-new-privileges":
            # docker: the colon is the older spelling
            name, equals, value = word.partition(":")
            if not equals:
                raise Invalid(f'invalid --security-opt: "{word}"')
        if (name, value) == ("systempaths", "unconfined"):
            open_paths = True
        elif name == "seccomp" and value not in ("unconfined", "builtin"):
            found.append(f"seccomp={_profile(value)}")
        else:
            found.append(word)
    return found, open_paths


def _profile(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return json.dumps(json.load(file), separators=(",", ":"))
    except OSError as error:
        raise Invalid(f"opening seccomp profile ({path}) failed: open {path}: {error.strerror}") from error
    except ValueError as error:
        raise Invalid(f"compacting json for seccomp profile ({path}) failed: {error}") from error
