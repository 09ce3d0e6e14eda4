"""The OCI runtime spec (config.json) as frozen values.

Owns parsing and the checks that need nothing but the text; unknown fields are ignored as the standard asks.  What the
fields do is runtime/'s affair.  Corten's own extensions (a user by name, groups by name, a seccomp profile in Docker's
form) are marked; see supervisor/model.py for the list.  The standard: github.com/opencontainers/runtime-spec.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from corten.errors import Invalid

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class User:
    """Who runs the process.  ``name`` (extension: process.user.username) wins over the numbers."""

    uid: int = 0
    gid: int = 0
    groups: tuple[int | str, ...] = ()
    umask: int | None = None
    name: str = ""

    @classmethod
    def parse(cls, body: Json) -> User:
        return cls(
            uid=int(body.get("uid") or 0),
            gid=int(body.get("gid") or 0),
            groups=tuple(body.get("additionalGids") or ()),
            umask=body.get("umask"),
            name=str(body.get("username") or ""),
        )


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Names by set; absent sets are empty."""

    bounding: tuple[str, ...] = ()
    effective: tuple[str, ...] = ()
    permitted: tuple[str, ...] = ()
    inheritable: tuple[str, ...] = ()
    ambient: tuple[str, ...] = ()

    @classmethod
    def parse(cls, body: Json | None) -> Capabilities:
        sets = ("bounding", "effective", "permitted", "inheritable", "ambient")
        return cls(*(tuple((body or {}).get(name) or ()) for name in sets))


@dataclass(frozen=True, slots=True)
class Rlimit:
    """One resource limit."""

    type: str
    soft: int
    hard: int


@dataclass(frozen=True, slots=True)
class Process:
    """What to execute and as whom."""

    args: tuple[str, ...]
    env: tuple[str, ...] = ()
    cwd: str = "/"
    terminal: bool = False
    height: int = 0
    width: int = 0
    user: User = User()
    capabilities: Capabilities | None = None  # None: keep what the runtime has
    rlimits: tuple[Rlimit, ...] = ()
    no_new_privileges: bool = False
    oom_score_adj: int | None = None

    @classmethod
    def parse(cls, body: Json) -> Process:
        args = tuple(body.get("args") or ())
        if not args:
            raise Invalid("process.args must not be empty")
        size = body.get("consoleSize") or {}
        capabilities = body.get("capabilities")
        return cls(
            args=args,
            env=tuple(body.get("env") or ()),
            cwd=body.get("cwd") or "/",
            terminal=bool(body.get("terminal")),
            height=int(size.get("height") or 0),
            width=int(size.get("width") or 0),
            user=User.parse(body.get("user") or {}),
            capabilities=None if capabilities is None else Capabilities.parse(capabilities),
            rlimits=tuple(Rlimit(each["type"], each["soft"], each["hard"]) for each in body.get("rlimits") or ()),
            no_new_privileges=bool(body.get("noNewPrivileges")),
            oom_score_adj=body.get("oomScoreAdj"),
        )


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount inside the container, or one of those that make its root.

    ``subpath`` (extension: mounts[].subpath) is what is bound of ``source``, a tree in which others may be writing.
    """

    destination: str
    type: str = ""
    source: str = ""
    options: tuple[str, ...] = ()
    subpath: str = ""

    @classmethod
    def parse(cls, body: Json) -> Mount:
        return cls(
            destination=body.get("destination") or "/",
            type=body.get("type") or "",
            source=body.get("source") or "",
            options=tuple(body.get("options") or ()),
            subpath=body.get("subpath") or "",
        )


@dataclass(frozen=True, slots=True)
class Device:
    """A device node to make."""

    path: str
    type: str  # c, b, u, p
    major: int = 0
    minor: int = 0
    mode: int = 0o666
    uid: int = 0
    gid: int = 0

    @classmethod
    def parse(cls, body: Json) -> Device:
        return cls(
            path=body["path"],
            type=body["type"],
            major=int(body.get("major") or 0),
            minor=int(body.get("minor") or 0),
            mode=int(body["fileMode"]) if body.get("fileMode") is not None else 0o666,
            uid=int(body.get("uid") or 0),
            gid=int(body.get("gid") or 0),
        )


@dataclass(frozen=True, slots=True)
class IdMap:
    """``size`` ids from ``inside`` on are ``outside`` and following for the host."""

    inside: int
    outside: int
    size: int

    @classmethod
    def parse(cls, body: Json) -> IdMap:
        return cls(int(body["containerID"]), int(body["hostID"]), int(body["size"]))


@dataclass(frozen=True, slots=True)
class Linux:
    """The Linux part.  ``namespaces``: OCI's name of the kind to the path to join, "" for a new one."""

    namespaces: Mapping[str, str] = field(default_factory=dict)
    uid_maps: tuple[IdMap, ...] = ()
    gid_maps: tuple[IdMap, ...] = ()
    devices: tuple[Device, ...] = ()
    resources: Json = field(default_factory=dict)
    cgroups_path: str = ""
    sysctl: Mapping[str, str] = field(default_factory=dict)
    masked_paths: tuple[str, ...] = ()
    readonly_paths: tuple[str, ...] = ()
    rootfs_propagation: str = ""
    seccomp: Json | None = None
    personality: str = ""

    @classmethod
    def parse(cls, body: Json) -> Linux:
        return cls(
            namespaces={each["type"]: each.get("path") or "" for each in body.get("namespaces") or ()},
            uid_maps=tuple(map(IdMap.parse, body.get("uidMappings") or ())),
            gid_maps=tuple(map(IdMap.parse, body.get("gidMappings") or ())),
            devices=tuple(map(Device.parse, body.get("devices") or ())),
            resources=body.get("resources") or {},
            cgroups_path=body.get("cgroupsPath") or "",
            sysctl=body.get("sysctl") or {},
            masked_paths=tuple(body.get("maskedPaths") or ()),
            readonly_paths=tuple(body.get("readonlyPaths") or ()),
            rootfs_propagation=body.get("rootfsPropagation") or "",
            seccomp=body.get("seccomp"),
            personality=(body.get("personality") or {}).get("domain") or "",
        )


@dataclass(frozen=True, slots=True)
class Spec:
    """config.json."""

    process: Process
    mounts: tuple[Mount, ...] = ()
    root_readonly: bool = False
    root_path: str = ""
    hostname: str = ""
    domainname: str = ""
    linux: Linux = field(default_factory=Linux)
    annotations: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, body: Json) -> Spec:
        """Raises Invalid with the field that makes no sense."""
        if not isinstance(body, dict) or not isinstance(body.get("process"), dict):
            raise Invalid("a runtime spec needs a process")
        root: Json = body.get("root") or {}
        try:
            return cls(
                process=Process.parse(body["process"]),
                mounts=tuple(map(Mount.parse, body.get("mounts") or ())),
                root_readonly=bool(root.get("readonly")),
                root_path=root.get("path") or "",
                hostname=body.get("hostname") or "",
                domainname=body.get("domainname") or "",
                linux=Linux.parse(body.get("linux") or {}),
                annotations=body.get("annotations") or {},
            )
        except (KeyError, TypeError, ValueError, AttributeError) as failure:
            raise Invalid(f"runtime spec: {type(failure).__name__}: {failure}") from failure


def parse_rootfs(body: Sequence[Json]) -> tuple[Mount, ...]:
    """rootfs.json: the mounts whose stack is the root file system."""
    return tuple(map(Mount.parse, body))
