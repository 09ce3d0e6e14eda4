"""What a new container takes over from the one that it replaces: all that its user asked for, nothing of the old image.

Pure.  Owns: telling the one from the other, and naming the volumes without a name so that the new one gets them too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from corten.api.types import fields
from corten.api.types.containers import CONFIG
from corten.engine.containers import networking
from corten.engine.containers.create import Request
from corten.engine.containers.model import Container, MountPoint

_SCALARS = ("User", "WorkingDir", "StopSignal")
_OPTIONALS = ("StopTimeout", "Shell")
_MAPS = ("ExposedPorts", "Volumes", "Labels")

# While a container is on trial, or waits for the verdict on another, its end is not to be hidden by a restart.
ON_TRIAL = {"RestartPolicy": {"Name": "no", "MaximumRetryCount": 0}, "AutoRemove": False}


def request(record: Container, image: Mapping[str, Any], name: str, image_id: str, *, aliases: bool) -> Request:
    """The order for the new container; ``image`` is the Config of the old one's image.

    Without ``aliases`` nobody is led to it by name before it has taken over.
    """
    endpoints = networking.wanted(record)
    return Request(
        config=own_config(record.config, image),
        host_config=host_config(record) | ON_TRIAL,
        networking={
            "EndpointsConfig": endpoints if aliases else {name: _bare(value) for name, value in endpoints.items()}
        },
        name=name,
        image_id=image_id,
    )


def _bare(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name != "Aliases"}


def own_config(config: Mapping[str, Any], image: Mapping[str, Any]) -> dict[str, Any]:
    """A container's Config less what came from its image, so that the new image's word counts there."""
    base = fields.read(image, CONFIG, "Config")
    own = dict(config)
    for name in _SCALARS:
        own[name] = "" if own[name] == base[name] else own[name]
    for name in _OPTIONALS:
        own[name] = None if own[name] == base[name] else own[name]
    for name in _MAPS:
        theirs = base[name] or {}
        mine = {key: value for key, value in (own[name] or {}).items() if key not in theirs or theirs[key] != value}
        own[name] = mine or None
    own["Env"] = [item for item in own["Env"] or () if item not in (base["Env"] or ())]
    own["Entrypoint"], own["Cmd"] = _command(own, base)
    own["Healthcheck"] = _health(own["Healthcheck"], base["Healthcheck"])
    return own


def _command(own: Mapping[str, Any], base: Mapping[str, Any]) -> tuple[list[str] | None, list[str] | None]:
    if (own["Entrypoint"] or None) == (base["Entrypoint"] or None):
        return None, None if own["Cmd"] == base["Cmd"] else own["Cmd"]
    # An entrypoint that was taken away is asked for by an empty word.
    return own["Entrypoint"] or [""], own["Cmd"]


def _health(own: Mapping[str, Any] | None, base: Mapping[str, Any] | None) -> dict[str, Any] | None:
    theirs = base or {}
    return {name: value for name, value in (own or {}).items() if theirs.get(name) != value} or None


def host_config(record: Container) -> dict[str, Any]:
    """The HostConfig with every volume that has no name of the user's called by the one it has."""
    host = dict(record.host_config)
    unnamed = {point.destination: point for point in record.mounts if point.anonymous and point.name}
    mounts = [_named(body, unnamed) for body in host["Mounts"] or ()]
    binds = []
    for text in host["Binds"] or ():
        point = unnamed.get(text.rstrip("/")) if ":" not in text else None
        binds.append(f"{point.name}:{point.destination}" if point else text)
    taken = {text.split(":")[1] for text in binds if ":" in text} | {str(body.get("Target")) for body in mounts}
    mounts += [
        {"Type": "volume", "Source": point.name, "Target": destination}
        for destination, point in unnamed.items()
        if destination not in taken
    ]
    host["Binds"], host["Mounts"] = binds or None, mounts or None
    return host


def _named(body: Mapping[str, Any], unnamed: Mapping[str, MountPoint]) -> dict[str, Any]:
    point = unnamed.get(str(body.get("Target", "")).rstrip("/"))
    return {**body, "Source": point.name} if point and body.get("Type") == "volume" else dict(body)
