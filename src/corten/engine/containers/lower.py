"""A container record becomes an OCI runtime spec: the one place that says what a field of HostConfig means to Linux.

Owns: the translation, one small function a field group.  Pure, except that devices are looked up on the host.  What a
spec depends on beyond the record (other containers' namespaces, volumes' paths, the generated /etc files) is handed in
as ``Surroundings``.  Read next: ``runtime/`` for how a spec becomes system calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from corten.engine.containers import devices, resources, security, userids
from corten.engine.containers.model import Container, MountPoint

OCI_VERSION = "1.2.0"
DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SECCOMP_ANNOTATION, INIT_ANNOTATION, MTAB_ANNOTATION = "corten.seccomp", "corten.init", "corten.mtab"
ETC_FILES = ("resolv.conf", "hostname", "hosts")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the spec needs to know of the world."""

    # Namespace type to the path of one to join: /proc/PID/ns/pid.
    joined: Mapping[str, str] = field(default_factory=dict)
    # Destination to the host path that is shown there, for binds and volumes.
    sources: Mapping[str, str] = field(default_factory=dict)
    etc_dir: Path | None = None
    shm_path: str | None = None
    hostname: str = ""
    extra_env: tuple[str, ...] = ()
    cgroup_parent: str = "/corten"
    seccomp_profile: Mapping[str, Any] | None = None


def lower(container: Container, world: Surroundings) -> dict[str, Any]:
    """The OCI spec of a container."""
    host = container.host_config
    spec: dict[str, Any] = {
        "ociVersion": OCI_VERSION,
        "process": process(container, world),
        "root": {"path": "rootfs", "readonly": bool(host["ReadonlyRootfs"])},
        "mounts": mounts(container, world),
        "annotations": notes(host),
        "linux": linux(container, world),
    }
    if host["UTSMode"] != "host":
        spec["hostname"] = world.hostname
        if container.config["Domainname"]:
            spec["domainname"] = container.config["Domainname"]
    return spec


def process(container: Container, world: Surroundings) -> dict[str, Any]:
    """The first process: what it runs, as whom, with which rights."""
    config, host = container.config, container.host_config
    return {
        "terminal": bool(config["Tty"]),
        "user": user(config["User"], host["GroupAdd"]),
        "args": container.entrypoint,
        "env": environment(config, world),
        "cwd": config["WorkingDir"] or "/",
        "capabilities": capabilities(host),
        "rlimits": rlimits(host),
        "noNewPrivileges": security.read(host["SecurityOpt"] or ()).no_new_privileges,
        "oomScoreAdj": host["OomScoreAdj"],
    }


def exec_process(
    record: Container,
    args: list[str],
    *,
    user_name: str = "",
    env: list[str] | None = None,
    cwd: str = "",
    tty: bool = False,
    privileged: bool = False,
) -> dict[str, Any]:
    """A further process in the container: as the first one, but for what is given."""
    config, host = record.config, record.host_config
    world = Surroundings(hostname=config["Hostname"] or record.short_id)
    merged = {**config, "Tty": tty, "Env": _over(config["Env"] or [], env or [])}
    return {
        "terminal": tty,
        "user": user(user_name or config["User"], host["GroupAdd"]),
        "args": args,
        "env": environment(merged, world),
        "cwd": cwd or config["WorkingDir"] or "/",
        "capabilities": capabilities(host | {"Privileged": True} if privileged else host),
        "rlimits": rlimits(host),
        "noNewPrivileges": security.read(host["SecurityOpt"] or ()).no_new_privileges,
        "oomScoreAdj": host["OomScoreAdj"],
    }


def _over(base: list[str], given: list[str]) -> list[str]:
    names = {item.partition("=")[0] for item in given}
    return [*(item for item in base if item.partition("=")[0] not in names), *given]


def user(name: str, groups: list[str] | None) -> dict[str, Any]:
    """Resolved inside the root by the runtime; numbers here are only what a reader without passwd would take."""
    value: dict[str, Any] = {"uid": 0, "gid": 0}
    if name:
        value["username"] = name
    if groups:
        value["additionalGids"] = list(groups)
    return value


def environment(config: Mapping[str, Any], world: Surroundings) -> list[str]:
    """PATH, HOSTNAME and TERM unless given, links' variables, then what was asked for."""
    env = [DEFAULT_PATH, f"HOSTNAME={world.hostname}"]
    if config["Tty"]:
        env.append("TERM=xterm")
    env.extend(world.extra_env)
    given = [item for item in config["Env"] or () if "=" in item]
    # docker: "NAME" without "=" takes a variable away.
    removed = {item for item in config["Env"] or () if "=" not in item}
    names = {item.partition("=")[0] for item in given} | removed
    return [*(item for item in env if item.partition("=")[0] not in names), *given]


def capabilities(host: Mapping[str, Any]) -> dict[str, list[str]]:
    """The same set bounding, permitted and effective; none inheritable, as dockerd since 20.10.14."""
    names = security.capabilities(host)
    return {"bounding": names, "effective": names, "permitted": names}


def rlimits(host: Mapping[str, Any]) -> list[dict[str, Any]]:
    """``--ulimit``; -1 is unlimited."""
    unlimited = 2**64 - 1
    return [
        {
            "type": f"RLIMIT_{str(item['Name']).upper()}",
            "soft": unlimited if item.get("Soft", 0) == -1 else item.get("Soft", 0),
            "hard": unlimited if item.get("Hard", 0) == -1 else item.get("Hard", 0),
        }
        for item in host["Ulimits"] or ()
    ]


def notes(host: Mapping[str, Any]) -> dict[str, str]:
    """The user's, and what the runtime reads."""
    found = dict(host["Annotations"] or {})
    found[MTAB_ANNOTATION] = "true"
    if host["Privileged"] or security.read(host["SecurityOpt"] or ()).seccomp == "unconfined":
        found[SECCOMP_ANNOTATION] = "unconfined"
    if host["Init"]:
        found[INIT_ANNOTATION] = "true"
    return found


def linux(container: Container, world: Surroundings) -> dict[str, Any]:
    """Namespaces, limits, devices, hidden paths, the system call filter."""
    host = container.host_config
    parent = host["CgroupParent"] or world.cgroup_parent
    value: dict[str, Any] = {
        "namespaces": namespaces(host, world),
        "cgroupsPath": f"/{parent.strip('/')}/{container.id}",
        "resources": resources.lower(host) | {"devices": devices.rules(host)},
        "devices": devices.nodes(host),
        "sysctl": sysctls(container, world),
        "maskedPaths": host["MaskedPaths"] or [],
        "readonlyPaths": host["ReadonlyPaths"] or [],
        "rootfsPropagation": propagation(container.mounts),
    }
    if profile := seccomp(host, world):
        value["seccomp"] = profile
    if container.id_base:
        value["namespaces"].append({"type": "user"})
        value |= userids.mappings(container.id_base)
    return value


def namespaces(host: Mapping[str, Any], world: Surroundings) -> list[dict[str, str]]:
    """A new one of each kind, but those that are the host's (absent) or another container's (by path)."""
    absent = {
        "network": host["NetworkMode"] == "host",
        "pid": host["PidMode"] == "host",
        "ipc": host["IpcMode"] == "host",
        "uts": host["UTSMode"] == "host",
        "cgroup": host["CgroupnsMode"] == "host",
    }
    found: list[dict[str, str]] = [{"type": "mount"}]
    for kind, is_hosts in absent.items():
        if not is_hosts:
            path = world.joined.get(kind)
            found.append({"type": kind, "path": path} if path else {"type": kind})
    return found


def sysctls(container: Container, world: Surroundings) -> dict[str, str]:
    """Those asked for over Docker's two defaults for a network namespace of one's own."""
    host = container.host_config
    last_group = (
        userids.SIZE - 1 if container.id_base else 2147483647
    )  # the kernel knows none but those that are mapped
    own_network = host["NetworkMode"] != "host" and "network" not in world.joined
    base = (
        {"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": f"0 {last_group}"}
        if own_network
        else {}
    )
    return base | (host["Sysctls"] or {})


def seccomp(host: Mapping[str, Any], world: Surroundings) -> Mapping[str, Any] | None:
    """A profile of the user's or of the daemon's; None is the built-in one (or none at all, by annotation)."""
    if host["Privileged"]:
        return None
    chosen = security.read(host["SecurityOpt"] or ())
    return chosen.seccomp_profile() or (world.seccomp_profile if chosen.seccomp == "default" else None)


def propagation(points: list[MountPoint]) -> str:
    """docker: a shared bind needs a shared root, a slave bind a slave root."""
    kinds = {point.propagation.lstrip("r") for point in points if point.type == "bind"}
    if "shared" in kinds:
        return "shared"
    return "rslave" if "slave" in kinds else "rprivate"


def mounts(container: Container, world: Surroundings) -> list[dict[str, Any]]:
    """The kernel's file systems, then what the user mounts, parents before children, then the generated /etc files."""
    host = container.host_config
    base = [_proc(host), _dev(), _pts(), _sys(host, world), *_cgroup(host), *_mqueue(), *_shm(host, world)]
    points = list(container.mounts)
    points += [MountPoint("tmpfs", path, options=_words(text)) for path, text in (host["Tmpfs"] or {}).items()]
    taken = {point.destination.rstrip("/") for point in points}
    base = [item for item in base if item["destination"] not in taken]
    wanted = [_point(point, world) for point in sorted(points, key=lambda item: item.destination.count("/"))]
    return [*base, *wanted, *_etc(world, taken)]


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.split(",") if word)


def _mount(destination: str, kind: str, source: str, *options: str) -> dict[str, Any]:
    return {"destination": destination, "type": kind, "source": source, "options": list(options)}


def _proc(host: Mapping[str, Any]) -> dict[str, Any]:
    return _mount("/proc", "proc", "proc", "nosuid", "noexec", "nodev")


def _dev() -> dict[str, Any]:
    return _mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k")


def _pts() -> dict[str, Any]:
    return _mount(
        "/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"
    )


def _sys(host: Mapping[str, Any], world: Surroundings) -> dict[str, Any]:
    access = "rw" if host["Privileged"] else "ro"
    return _mount("/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", access)


def _cgroup(host: Mapping[str, Any]) -> list[dict[str, Any]]:
    writable = host["Privileged"] or security.read(host["SecurityOpt"] or ()).writable_cgroups
    return [
        _mount("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid", "noexec", "nodev", "rw" if writable else "ro"),
    ]


def _mqueue() -> list[dict[str, Any]]:
    return [_mount("/dev/mqueue", "mqueue", "mqueue", "nosuid", "noexec", "nodev")]


def _shm(host: Mapping[str, Any], world: Surroundings) -> list[dict[str, Any]]:
    if host["IpcMode"] == "none":
        return []
    if world.shm_path:
        return [_mount("/dev/shm", "bind", world.shm_path, "rbind", "rprivate", "nosuid", "noexec", "nodev")]
    return [_mount("/dev/shm", "tmpfs", "shm", "nosuid", "noexec", "nodev", "mode=1777", f"size={host['ShmSize']}")]


def _point(point: MountPoint, world: Surroundings) -> dict[str, Any]:
    if point.type == "tmpfs":
        options = ["noexec", "nosuid", "nodev", *point.options]
        # docker: `exec`, `suid` and `dev` in the options undo its defaults; later words win in mount(8).
        options = [word for word in options if f"no{word}" not in options or word.startswith("no")]
        undone = {f"no{word}" for word in point.options}
        options = [word for word in options if word not in undone]
        return _mount(point.destination, "tmpfs", "tmpfs", *options, *([] if point.rw else ["ro"]))
    bind = "bind" if "nonrecursive" in point.options else "rbind"
    access = ("rw",) if point.rw else (("rro",) if point.recursive else ("ro",))
    source = world.sources[point.destination]
    shown = _mount(point.destination, "bind", source, bind, *access, point.propagation or "rprivate")
    return shown | {"subpath": point.subpath} if point.subpath else shown


def _etc(world: Surroundings, taken: set[str]) -> list[dict[str, Any]]:
    if world.etc_dir is None:
        return []
    return [
        _mount(f"/etc/{name}", "bind", str(world.etc_dir / name), "rbind", "rw", "rprivate")
        for name in ETC_FILES
        if f"/etc/{name}" not in taken and "/etc" not in taken
    ]
