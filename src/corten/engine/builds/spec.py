"""A RUN step as a container that is written nowhere, and its OCI runtime spec.

Owns: what of a container's HostConfig a build may say.  Pure; the meaning of each field is in
engine/containers/lower.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from corten.build.ports import RunRequest, StepMount
from corten.engine.containers import resources, security
from corten.engine.containers.lower import ETC_FILES, MTAB_ANNOTATION, Surroundings, lower
from corten.engine.containers.model import Container
from corten.engine.containers.options import Defaults, read_config, read_host_config
from corten.errors import Invalid

# docker: the limits that POST /build takes.
LIMITS = frozenset({"Memory", "MemorySwap", "CpuShares", "CpuPeriod", "CpuQuota", "CpusetCpus", "CpusetMems"})

DEFAULT_NETWORK = "bridge"


def record(request: RunRequest, defaults: Defaults) -> Container:
    """The container that the step is; raises Invalid for limits that make no sense."""
    if request.shm_size < 0:
        raise Invalid("SHM size can not be less than 0")
    network = DEFAULT_NETWORK if request.network in ("", "default") else request.network
    config = read_config(
        {
            "Cmd": list(request.args),
            "Env": list(request.env),
            "WorkingDir": request.cwd,
            "User": request.user,
            "Hostname": request.hostname,
            "Labels": dict(request.labels),
        },
        {},
    )
    limits: dict[str, Any] = {name: value for name, value in request.resources.items() if name in LIMITS}
    host = read_host_config(
        limits
        | {
            "NetworkMode": network,
            "Privileged": request.privileged,
            "Ulimits": [dict(item) for item in request.ulimits],
            "SecurityOpt": list(request.security_opt),
            "CgroupParent": request.cgroup_parent,
            "ShmSize": request.shm_size,
            "ExtraHosts": list(request.extra_hosts),
        },
        defaults,
    )
    resources.check(host)
    security.check(host)
    return Container(
        id=request.container_id,
        name=request.container_id[:12],
        created=0.0,
        image_id="",
        image_name="",
        config=config,
        host_config=host,
    )


def step_spec(container: Container, mounts: tuple[StepMount, ...], world: Surroundings) -> dict[str, Any]:
    """The spec of the step."""
    spec = lower(container, world)
    del spec["annotations"][MTAB_ANNOTATION]  # it would be the image's
    spec["mounts"] = _with(spec["mounts"], mounts)
    return spec


def surroundings(etc_dir: Path, hostname: str, netns_path: str | None, cgroup_parent: str) -> Surroundings:
    """``netns_path`` is a network namespace to join, None for a new one (or the host's)."""
    joined = {"network": netns_path} if netns_path else {}
    return Surroundings(joined=joined, etc_dir=etc_dir, hostname=hostname, cgroup_parent=cgroup_parent)


def _with(mounts: list[dict[str, Any]], added: tuple[StepMount, ...]) -> list[dict[str, Any]]:
    """The step's mounts before the generated files of /etc, and instead of what else is at the same place."""
    if not added:
        return mounts
    targets = {item.target.rstrip("/") for item in added}
    generated = {f"/etc/{name}" for name in ETC_FILES}
    kept = [item for item in mounts if item["destination"] not in targets]
    own = [
        {"destination": item.target, "type": item.type, "source": item.source, "options": list(item.options)}
        for item in added
    ]
    base = [item for item in kept if item["destination"] not in generated]
    return [*base, *own, *(item for item in kept if item["destination"] in generated)]
