"""A create request becomes a container: record, snapshot, volumes, directory.

Owns: the order of a creation and its undoing.  What a request may say is in ``options.py`` and ``mounts.py``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from corten.api.types import fields
from corten.api.types.containers import CONFIG
from corten.engine import names
from corten.engine.containers import links, mounts, networking, options, storage, userids
from corten.engine.containers.ground import Ground
from corten.engine.containers.live import Live
from corten.engine.containers.model import Container, MountPoint
from corten.engine.images.names import find
from corten.errors import CortenError, Invalid, NotFound
from corten.spec.platform import Platform
from corten.store.images import ImageRecord


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asks for: three documents of the API and a name."""

    config: Mapping[str, Any]
    host_config: Mapping[str, Any] = field(default_factory=dict)
    networking: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    platform: str = ""
    # Where the image is known better than by the name in Config, which may have moved on.
    image_id: str = ""


@dataclass(frozen=True, slots=True)
class Created:
    """The answer."""

    live: Live
    warnings: list[str]


async def create(ground: Ground, request: Request) -> Created:
    """Make a container; nothing is left of it if anything fails."""
    image = find_image(ground, request)
    try:
        return await _create(ground, request, image)
    except NotFound as error:
        # Clients take "not found" for the image's, and go and pull it.
        raise Invalid(error.message) from error


async def _create(ground: Ground, request: Request, image: ImageRecord | None) -> Created:
    config = options.read_config(request.config, image.config.config if image else {})
    host = options.read_host_config(request.host_config, ground.settings.defaults)
    warnings = [*options.check(config, host), *ground.settings.defaults.runtimes.warnings(host["Runtime"])]
    options.check_given(request.config, host)
    container_id = names.new_id()
    name = names.check_name(request.name) if request.name else names.random_name(ground.roster.is_taken)
    record = Container(
        id=container_id,
        name=name,
        created=time.time(),
        image_id=str(image.id) if image else "",
        image_name=str(config["Image"]),
        config=config,
        host_config=host,
        endpoints=_endpoints(ground, request.networking, host),
        mounts=mounts.collect(config, host, lambda other: _mounts_of(ground, other)),
        driver=ground.snapshots.name,
        id_base=_id_base(ground, container_id, host),
        image_manifest=_manifest(image),
    )
    _check_donors(ground, host)
    networking.check(ground, record)
    ground.roster.reserve(name, container_id)
    try:
        await _make(ground, record, image)
    except BaseException:
        ground.roster.release(name)
        await _unmake(ground, container_id)
        raise
    live = Live(record)
    ground.roster.add(live)
    ground.publish(live, "create")
    return Created(live, [*warnings, *links.warnings(ground, record)])


def _manifest(image: ImageRecord | None) -> dict[str, Any] | None:
    if image is None or image.manifest is None:
        return None
    return {**image.manifest.to_json(), "platform": image.config.platform.to_json()}


def _check_donors(ground: Ground, host: Mapping[str, Any]) -> None:
    """The containers whose namespaces are joined exist; that they run is asked at each start."""
    for mode in (host["IpcMode"], host["PidMode"]):
        if mode.startswith("container:"):
            ground.roster.find(mode.removeprefix("container:"))


def _id_base(ground: Ground, container_id: str, host: Mapping[str, Any]) -> int:
    if host["UsernsMode"] != "auto":
        return 0
    if not userids.is_possible():
        raise Invalid(
            "this kernel makes no user namespaces (see /proc/sys/user/max_user_namespaces): use --userns=host"
        )
    return userids.allocate(container_id, {live.record.id_base for live in ground.roster})


def find_image(ground: Ground, request: Request) -> ImageRecord | None:
    """The image of a request; raises NotFound in the words that make the client pull it."""
    name = str(fields.read(request.config, CONFIG, "Config")["Image"])
    if not name:
        raise Invalid("no image specified in the container config")
    return find(ground.images, request.image_id or name, Platform.parse(request.platform) if request.platform else None)


def _mounts_of(ground: Ground, name: str) -> list[MountPoint]:
    return ground.roster.find(name).record.mounts


def _endpoints(ground: Ground, asked: Mapping[str, Any], host: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    given = asked.get("EndpointsConfig") or {}
    if not isinstance(given, Mapping):
        raise Invalid("invalid JSON: EndpointsConfig must be an object")
    found: dict[str, dict[str, Any]] = {}
    for name, settings in given.items():
        # docker: "default" is the default bridge's other name; a network may be named by its id.
        known = "bridge" if name == "default" else name
        if known not in ("host", "none"):
            with contextlib.suppress(CortenError):  # told when it is started, as dockerd does
                known = ground.networking.get(known).name
        found[known] = networking.read_settings(settings)
    mode = host["NetworkMode"]
    if mode in ("host", "none") or mode.startswith("container:"):
        if len(found) > 1 or (found and mode not in found):
            raise Invalid("conflicting options: cannot attach both user-defined and non-user-defined network-modes")
        return {}
    return found


async def _make(ground: Ground, record: Container, image: ImageRecord | None) -> None:
    chain = image.config.chain_id if image else None
    parent = str(chain) if chain else None
    os.mkdir(ground.bundle(record.id), 0o710)
    ground.snapshots.prepare(record.id, parent, volatile=record.auto_remove)
    _mark(ground.snapshots.writable(record.id))
    if record.mounts:
        record.mounts = await storage.claim(ground, record, parent)


def _mark(top: Path) -> None:
    """docker: by this file programs know that they are in a container."""
    with contextlib.suppress(FileExistsError):  # in what the image has, with drivers that copy it
        os.close(os.open(top / ".dockerenv", os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o755))


async def _unmake(ground: Ground, container_id: str) -> None:
    with contextlib.suppress(NotFound):
        ground.snapshots.remove(container_id)
    await asyncio.to_thread(shutil.rmtree, ground.bundle(container_id), ignore_errors=True)
