"""A container's system call filter as OCI's ``linux.seccomp``, for runtimes that bring no default of their own.

Pure.  Docker's profile format is resolved against architecture and capabilities; the built-in profile is written out.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from corten.errors import Invalid
from corten.kernel import flags
from corten.kernel.seccomp import Condition, Rule
from corten.runtime import seccomp_profile

_ARCHITECTURES = {
    "x86_64": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
    "aarch64": ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
}
_OPERATORS = {
    "eq": "SCMP_CMP_EQ",
    "ne": "SCMP_CMP_NE",
    "lt": "SCMP_CMP_LT",
    "le": "SCMP_CMP_LE",
    "gt": "SCMP_CMP_GT",
    "ge": "SCMP_CMP_GE",
    "masked": "SCMP_CMP_MASKED_EQ",
}
_ERRNO, _EPERM = "SCMP_ACT_ERRNO", 1


def lower(
    profile: Mapping[str, Any] | None, capabilities: Iterable[str], machine: str = os.uname().machine
) -> dict[str, Any] | None:
    """``linux.seccomp`` for a bounding set; without a profile the built-in one, None for a machine we have none for."""
    held = frozenset(capabilities)
    if profile is not None:
        try:
            return _resolved(profile, held, machine)
        except (KeyError, TypeError, ValueError, AttributeError) as failure:
            raise Invalid(f"seccomp profile: {type(failure).__name__}: {failure}") from failure
    rules = seccomp_profile.default_rules(held, machine)
    if not rules:
        return None
    return {
        "defaultAction": _ERRNO,
        "defaultErrnoRet": _EPERM,
        "architectures": _ARCHITECTURES[machine],
        "syscalls": list(_entries(rules)),
    }


def _entries(rules: Mapping[str, list[Rule]]) -> Iterable[dict[str, Any]]:
    plain: dict[int, list[str]] = {}
    for name, listed in sorted(rules.items()):
        for rule in listed:
            if rule.conditions:
                yield {"names": [name], **_action(rule.action), "args": [_argument(each) for each in rule.conditions]}
            else:
                plain.setdefault(rule.action, []).append(name)
    for action, names in plain.items():
        yield {"names": names, **_action(action)}


def _action(action: int) -> dict[str, Any]:
    if action == flags.SECCOMP_RET_ALLOW:
        return {"action": "SCMP_ACT_ALLOW"}
    return {"action": _ERRNO, "errnoRet": action & 0xFFFF}


def _argument(condition: Condition) -> dict[str, Any]:
    argument = {"index": condition.index, "op": _OPERATORS[condition.op], "value": condition.value}
    if condition.op == "masked":
        argument |= {"value": condition.mask, "valueTwo": condition.value}
    return argument


def _resolved(profile: Mapping[str, Any], held: frozenset[str], machine: str) -> dict[str, Any]:
    """What of a profile holds here, without Docker's own fields."""
    syscalls = []
    for entry in seccomp_profile.applying(profile, held, machine):
        kept = {name: entry[name] for name in ("action", "errnoRet", "args") if entry.get(name) is not None}
        syscalls.append({"names": list(entry.get("names") or [entry["name"]]), **kept})
    found: dict[str, Any] = {
        "defaultAction": profile["defaultAction"],
        "architectures": profile.get("architectures") or _ARCHITECTURES.get(machine, []),
        "syscalls": syscalls,
    }
    for name in ("defaultErrnoRet", "flags", "listenerPath", "listenerMetadata"):
        if profile.get(name) is not None:
            found[name] = profile[name]
    return found
