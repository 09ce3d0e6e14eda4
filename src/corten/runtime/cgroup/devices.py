"""The device allow-list: OCI rules, completed with what every container has.  Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from corten.kernel.bpf import DeviceRule

ALWAYS = (
    DeviceRule(True, "c", None, None, "m"),  # making nodes is harmless; opening them is not
    DeviceRule(True, "b", None, None, "m"),
    DeviceRule(True, "c", 1, 3),  # null
    DeviceRule(True, "c", 1, 5),  # zero
    DeviceRule(True, "c", 1, 7),  # full
    DeviceRule(True, "c", 1, 8),  # random
    DeviceRule(True, "c", 1, 9),  # urandom
    DeviceRule(True, "c", 5, 0),  # tty
    DeviceRule(True, "c", 5, 2),  # ptmx
    DeviceRule(True, "c", 136, None),  # pts
)


def rules(resources: Mapping[str, Any]) -> list[DeviceRule]:
    """Everything is denied but what every container has and what the spec allows, in the spec's order."""
    asked = [
        DeviceRule(
            allow=bool(each.get("allow")),
            kind=each.get("type") or "a",
            major=_number(each.get("major")),
            minor=_number(each.get("minor")),
            access=each.get("access") or "rwm",
        )
        for each in resources.get("devices") or ()
    ]
    leading_denials = [rule for rule in asked[:1] if not rule.allow and rule.kind == "a"]
    if asked and asked[0].allow and asked[0].kind == "a":
        return asked
    return [DeviceRule(False), *ALWAYS, *asked[len(leading_denials) :]]


def allows_everything(listed: list[DeviceRule]) -> bool:
    """Whether the list is the single "allow all" of a privileged container."""
    return bool(listed) and all(rule.allow for rule in listed) and any(rule.kind == "a" for rule in listed)


def line(rule: DeviceRule) -> str:
    """As the v1 files want it: "c 1:3 rwm"."""
    if rule.kind == "a":
        return "a"
    major = "*" if rule.major is None else rule.major
    minor = "*" if rule.minor is None else rule.minor
    return f"{rule.kind} {major}:{minor} {rule.access}"


def _number(value: Any) -> int | None:
    return None if value is None or int(value) < 0 else int(value)
