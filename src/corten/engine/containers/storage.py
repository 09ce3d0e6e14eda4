"""Volumes and binds of a container: made at create, mounted at start, let go at stop and removal.

Owns: anonymous volumes, the copy of the image's content into a new volume, and looking at host paths.  The grammar is
in ``mounts.py``; a volume's data in ``volumes/``.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from corten.engine.containers import rootview
from corten.engine.containers.ground import Ground
from corten.engine.containers.live import Live
from corten.engine.containers.model import Container, MountPoint
from corten.engine.containers.trees import copy_tree
from corten.errors import Conflict, CortenError, Invalid
from corten.kernel.mounts import mountinfo
from corten.kernel.paths import Root
from corten.store.snapshots.base import Mount


async def claim(ground: Ground, record: Container, chain: str | None) -> list[MountPoint]:
    """Make and take the volumes of a new container; fills new ones from the image.  Undone if one fails."""
    points: list[MountPoint] = []
    try:
        for point in record.mounts:
            check_bind(point)
            points.append(await _claim(ground, record, point) if point.type == "volume" else point)
        for point in points:
            if point.type == "volume" and point.copy and chain:
                await _fill(ground, point, chain)
    except BaseException:
        await forget(ground, replace_mounts(record, points), with_volumes=True)
        raise
    return points


def replace_mounts(record: Container, points: list[MountPoint]) -> Container:
    """The record with other mounts."""
    return replace(record, mounts=points)


def check_bind(point: MountPoint) -> None:
    """docker: ``--mount type=bind`` wants its source there; ``-v`` makes it."""
    if point.type == "bind" and "exists" in point.options and not os.path.lexists(point.source):
        raise Invalid(f'invalid mount config for type "bind": bind source path does not exist: {point.source}')


async def _claim(ground: Ground, record: Container, point: MountPoint) -> MountPoint:
    options = _volume_options(record, point)
    driver = options.get("DriverConfig") or {}
    volume, is_new = await ground.volumes.create(
        point.name or None,
        str(driver.get("Name") or point.driver or "local"),
        driver.get("Options") or {},
        options.get("Labels") or {},
    )
    await ground.volumes.acquire(volume.name, record.id)
    if is_new:
        ground.events.publish("volume", "create", volume.name, {"driver": volume.driver})
    return replace(point, name=volume.name, driver=volume.driver, source=str(volume.mountpoint))


def _volume_options(record: Container, point: MountPoint) -> Mapping[str, Any]:
    for body in record.host_config["Mounts"] or ():
        if str(body.get("Target", "")).rstrip("/") == point.destination:
            return body.get("VolumeOptions") or {}
    return {}


async def _fill(ground: Ground, point: MountPoint, chain: str) -> None:
    target = ground.volumes.get(point.name).mountpoint
    mounts = ground.snapshots.mounts(chain)
    await asyncio.to_thread(_copy_up, mounts, point.destination, target)


def _copy_up(mounts: list[Mount], inside: str, target: Path) -> None:
    """docker: an empty volume takes over what the image has there, with owner and mode."""
    if any(target.iterdir()):
        return
    with rootview.detached(mounts) as root:
        try:
            source = root.subtree(inside)
        except OSError:
            return
        with source, Root.at(target) as destination:
            copy_tree(source, destination)


async def mount(ground: Ground, record: Container) -> dict[str, str]:
    """Destination to the host path that is shown there (of a volume the whole), for a container that starts."""
    sources: dict[str, str] = {}
    for point in record.mounts:
        if point.type == "bind":
            sources[point.destination] = _bind_source(point)
        elif point.type == "volume":
            directory = await ground.volumes.mount(point.name, record.id)
            _tell_mount(ground, record, point)
            _check_subpath(directory, point)
            sources[point.destination] = str(directory)
    return sources


def _tell_mount(ground: Ground, record: Container, point: MountPoint) -> None:
    attributes = {"container": record.id, "destination": point.destination, "driver": point.driver}
    attributes |= {"propagation": point.propagation, "read/write": "true" if point.rw else "false"}
    ground.events.publish("volume", "mount", point.name, attributes)


def _bind_source(point: MountPoint) -> str:
    check_bind(point)
    if not os.path.lexists(point.source):
        try:
            os.makedirs(point.source, mode=0o755, exist_ok=True)
        except OSError as error:
            raise Invalid(f"error while creating mount source path '{point.source}': {error.strerror}") from error
    if point.propagation.removeprefix("r") in _PROPAGATES:
        _check_propagation(point)
    return point.source


# Word to what the host's mount must be for it to mean anything.
_PROPAGATES = {"shared": ("shared",), "slave": ("shared", "slave")}


def _check_propagation(point: MountPoint) -> None:
    path = os.path.realpath(point.source)
    around = [each for each in mountinfo() if path == each.target or path.startswith(each.target.rstrip("/") + "/")]
    mount = max(reversed(around), key=lambda each: len(each.target))  # the last of those at one place is on top
    kinds = {"slave" if field.startswith("master:") else field.partition(":")[0] for field in mount.fields}
    wanted = _PROPAGATES[point.propagation.removeprefix("r")]
    if kinds.isdisjoint(wanted):
        raise Invalid(f"path {point.source} is mounted on {mount.target} but it is not a {' or '.join(wanted)} mount")


def _check_subpath(directory: Path, point: MountPoint) -> None:
    """For the words only: the runtime looks it up anew when it mounts it, for others may write there meanwhile."""
    if not point.subpath:
        return
    with Root.at(directory) as root:
        try:
            root.stat(point.subpath)
        except OSError as error:
            raise Invalid(f"cannot access path {directory}/{point.subpath}: {error.strerror}") from error


async def unmount(ground: Ground, record: Container) -> None:
    """The container has ended."""
    for name, driver in {point.name: point.driver for point in record.mounts if point.type == "volume"}.items():
        if await ground.volumes.unmount(name, record.id):
            ground.events.publish("volume", "unmount", name, {"container": record.id, "driver": driver})


async def forget(ground: Ground, record: Container, *, with_volumes: bool) -> None:
    """The container is gone; anonymous volumes go with it if asked."""
    for point in record.mounts:
        if point.type != "volume" or not point.name:
            continue
        await ground.volumes.release(point.name, record.id)
        if with_volumes and point.anonymous:
            try:
                await ground.volumes.remove(point.name)
            except (Conflict, CortenError):
                continue  # somebody else has it by --volumes-from
            ground.events.publish("volume", "destroy", point.name, {"driver": point.driver})


def shm_path(ground: Ground, record: Container) -> Path:
    """Where the /dev/shm that others may share is mounted."""
    return ground.settings.exec_root / "shm" / record.id


async def share_shm(ground: Ground, live: Live) -> str | None:
    """The host path of /dev/shm, for ipc modes by which it is shared; None where it is the container's own."""
    record = live.record
    mode = record.host_config["IpcMode"]
    if mode == "host":
        return "/dev/shm"
    if mode.startswith("container:"):
        return _donors_shm(ground, ground.roster.find(mode.removeprefix("container:")).record)
    if mode != "shareable":
        return None
    path = shm_path(ground, record)
    path.mkdir(parents=True, exist_ok=True)
    rootview.mount_shm(path, record.host_config["ShmSize"])
    return str(path)


def _donors_shm(ground: Ground, donor: Container) -> str:
    """docker: what the donor itself has of another container or of the host can be shared, too."""
    mode = donor.host_config["IpcMode"]
    if mode == "host":
        return "/dev/shm"
    if mode.startswith("container:"):
        return _donors_shm(ground, ground.roster.find(mode.removeprefix("container:")).record)
    if mode != "shareable":
        raise Conflict(
            f"can't join IPC of container {donor.id}: non-shareable IPC (hint: use IpcMode:shareable for the donor "
            "container)"
        )
    return str(shm_path(ground, donor))


def unshare_shm(ground: Ground, record: Container) -> None:
    """Unmount what ``share_shm`` mounted."""
    if record.host_config["IpcMode"] == "shareable":
        path = shm_path(ground, record)
        rootview.unmount(path)
        shutil.rmtree(path, ignore_errors=True)
