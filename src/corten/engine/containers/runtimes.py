"""Which OCI runtimes there are: our own, what the daemon's configuration registers, and the names that mean Docker's.

Owns: HostConfig.Runtime, and the forms of `runtimes` in daemon.json and of `--add-runtime`.  How an external one is
called is ``runtime/external/``; why `runc` means what it does is docs/decisions/0007.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from corten.errors import Invalid

OWN = "corten"
RUNC = "runc"
# Docker's default, which clients name without a wish behind it.
_ALIASES = frozenset({RUNC, "io.containerd.runc.v2"})
_INITS = ("docker-init", "tini-static", "catatonit")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class External:
    """One registered runtime."""

    path: str
    args: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Runtimes:
    """What names there are, and which one is meant by none."""

    registered: Mapping[str, External] = field(default_factory=dict)
    default: str = OWN

    def find(self, name: str) -> External | None:
        """The runtime of a container; None for our own.  Invalid for a name that means nothing (any more)."""
        if name in self.registered:
            return self.registered[name]
        if name in _ALIASES:
            return self.registered.get(RUNC)
        if name in ("", OWN):
            return None
        raise Invalid(f"unknown or invalid runtime name: {name}")

    def choose(self, host: Mapping[str, Any]) -> str:
        """HostConfig.Runtime as records keep it; raises Invalid."""
        name = host["Runtime"] or self.default
        if self.find(name) and host["UsernsMode"] == "auto":
            raise Invalid(f"the runtime {name} cannot be used with --userns=auto: only Corten's own maps users")
        return str(name)

    def warnings(self, name: str) -> list[str]:
        """For a name that is taken, though it does not mean what it says."""
        if name in _ALIASES and self.find(name) is None:
            return [f"The runtime {name} is not used: the container runs by Corten's own."]
        return []

    def call(self, name: str, exec_root: Path) -> dict[str, Any] | None:
        """What the shim needs to know of a container's runtime; None for our own."""
        found = self.find(name)
        if found is None:
            return None
        init = next(filter(None, (shutil.which(each, path=_PATH) for each in _INITS)), "")
        return {
            "name": name,
            "path": found.path,
            "args": list(found.args),
            "root": str(exec_root / "runtimes" / (name if name in self.registered else RUNC)),
            "init": os.path.realpath(init) if init else "",
        }

    def describe(self) -> dict[str, Any]:
        """As ``docker info`` has them."""
        found: dict[str, Any] = {OWN: {"path": OWN}, RUNC: {"path": OWN}}
        for name, each in self.registered.items():
            found[name] = {"path": each.path} | ({"runtimeArgs": list(each.args)} if each.args else {})
        return found


def configured(entries: Mapping[str, Any], default: str) -> Runtimes:
    """From the daemon's configuration, with the host's runc under its name; raises Invalid."""
    registered = {name: _parse(name, body) for name, body in entries.items()}
    if RUNC not in registered and (found := shutil.which(RUNC, path=_PATH)):
        registered[RUNC] = External(found)
    if default in _ALIASES and RUNC not in registered:
        default = OWN
    runtimes = Runtimes(registered, default or OWN)
    try:
        runtimes.find(runtimes.default)
    except Invalid:
        raise Invalid(f"specified default runtime '{default}' does not exist") from None
    return runtimes


def _parse(name: str, body: Any) -> External:
    if not name or name == OWN or "/" in name or name.startswith("."):
        raise Invalid(f"runtime name '{name}' is reserved" if name == OWN else f"invalid runtime name: '{name}'")
    if not isinstance(body, Mapping):
        raise Invalid(f"runtime '{name}': not an object")
    if unknown := set(body) - {"path", "runtimeArgs", "runtimeType", "options"}:
        raise Invalid(f"runtime '{name}': unknown field {sorted(unknown)[0]}")
    path, args, kind = body.get("path") or "", body.get("runtimeArgs") or [], body.get("runtimeType") or ""
    options = body.get("options") or {}
    if kind == "io.containerd.runc.v2" and not path and set(options) <= {"BinaryName"}:
        path = options.get("BinaryName") or RUNC
    elif kind or options:
        raise Invalid(f"runtime '{name}': containerd shims (runtimeType) are not run; give the path of an OCI runtime")
    if not path or not isinstance(path, str):
        raise Invalid(f"runtime '{name}': path is required")
    if not isinstance(args, list) or not all(isinstance(each, str) for each in args):
        raise Invalid(f"runtime '{name}': runtimeArgs must be a list of strings")
    return External(path if "/" in path else shutil.which(path, path=_PATH) or path, tuple(args))


def parse_flags(texts: Iterable[str]) -> dict[str, Any]:
    """``--add-runtime name=path``; raises Invalid."""
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, path = (part.strip() for part in text.partition("="))
        if not (name and equals and path):
            raise Invalid(f"invalid runtime argument: {text}")
        if name in found:
            raise Invalid(f"runtime '{name}' was already defined")
        found[name] = {"path": path}
    return found
