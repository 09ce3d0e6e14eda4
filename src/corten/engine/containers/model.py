"""The record of a container: what was asked for, what it is doing, what it left behind.

Owns: the values and their JSON form in the facts store.  ``config`` and ``host_config`` are kept as the API gave them,
read by the tables of ``api/types/containers.py``: they are Docker's own documents, and ``lower.py`` is the one place
that says what each field means.  What lives only while the daemon runs (locks, tasks, timers) is in ``live.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from corten.engine.containers.status import Status, check
from corten.engine.names import SHORT_ID

KIND = "container"


@dataclass(frozen=True, slots=True)
class MountPoint:
    """Something shown inside the root: a host path, a volume, or memory."""

    type: str
    destination: str
    source: str = ""
    name: str = ""
    driver: str = ""
    mode: str = ""
    rw: bool = True
    propagation: str = ""
    copy: bool = True
    subpath: str = ""
    recursive: bool = True
    options: tuple[str, ...] = ()
    consistency: str = ""
    # True for what ``-v /path`` or VOLUME made: removed with the container by ``rm -v``.
    anonymous: bool = False

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> MountPoint:
        """Back from ``asdict``."""
        return cls(**{**body, "options": tuple(body.get("options", ()))})


@dataclass(slots=True)
class HealthRecord:
    """What the probes said."""

    status: str = "starting"
    failing_streak: int = 0
    log: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True)
class State:
    """What a container is doing, or how it ended."""

    status: Status = Status.CREATED
    pid: int = 0
    exit_code: int = 0
    error: str = ""
    oom_killed: bool = False
    started_at: float | None = None
    finished_at: float | None = None
    health: HealthRecord | None = None

    def move(self, status: Status) -> None:
        """Go to another status; raises Conflict if the table forbids it."""
        self.status = check(self.status, status)

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> State:
        """Back from ``asdict``."""
        health = body.get("health")
        return cls(**{**body, "status": Status(body["status"]), "health": HealthRecord(**health) if health else None})


@dataclass(slots=True)
class Container:
    """A container."""

    id: str
    name: str
    created: float
    image_id: str
    image_name: str
    config: dict[str, Any]
    host_config: dict[str, Any]
    # Network name to what the user asked for there; the API's EndpointSettings.
    endpoints: dict[str, dict[str, Any]] = field(default_factory=dict)
    # Networks of the above, or that of NetworkMode, that ``network disconnect`` took away.
    left_networks: list[str] = field(default_factory=list)
    mounts: list[MountPoint] = field(default_factory=list)
    state: State = field(default_factory=State)
    restart_count: int = 0
    has_been_stopped_by_hand: bool = False
    has_been_started: bool = False
    platform: str = "linux"
    driver: str = "overlay2"
    # The first of the host's ids that the container's users are; 0 without a user namespace.
    id_base: int = 0
    # The descriptor of the image's manifest as it was when the container was made; images built here have none.
    image_manifest: dict[str, Any] | None = None

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> Container:
        """Back from ``to_json``."""
        values = dict(body)
        values["mounts"] = [MountPoint.parse(item) for item in body["mounts"]]
        values["state"] = State.parse(body["state"])
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        """The document that is kept.  Not ``asdict``, which would copy the whole of Config and HostConfig."""
        body = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return body | {"mounts": [asdict(point) for point in self.mounts], "state": asdict(self.state)}

    @property
    def short_id(self) -> str:
        """The first twelve digits."""
        return self.id[:SHORT_ID]

    @property
    def is_running(self) -> bool:
        """True while it has processes, paused ones included."""
        return self.state.status.is_live

    @property
    def is_active(self) -> bool:
        """Running, or waiting to be started again."""
        return self.is_running or self.state.status is Status.RESTARTING

    @property
    def labels(self) -> dict[str, str]:
        """The labels, never None."""
        return self.config.get("Labels") or {}

    @property
    def has_tty(self) -> bool:
        """True if its output is one raw stream."""
        return bool(self.config["Tty"])

    @property
    def auto_remove(self) -> bool:
        """True if it goes away when it ends."""
        return bool(self.host_config["AutoRemove"])

    @property
    def network_mode(self) -> str:
        """``bridge``, ``host``, ``none``, ``container:…`` or the name of a network."""
        return str(self.host_config["NetworkMode"])

    @property
    def entrypoint(self) -> list[str]:
        """The command line that is run."""
        return [*(self.config["Entrypoint"] or ()), *(self.config["Cmd"] or ())]

    @property
    def log_driver(self) -> str:
        """The log driver's name."""
        return str(self.host_config["LogConfig"]["Type"])
