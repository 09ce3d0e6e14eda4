"""THE table of the Engine API: every operation of v1.50 by method, path, name and first version.

Owns: the table and how a request path finds its row.  Server, client, docs and tests read it.
Knows nothing of handlers (server/routes/) or of what an operation does.

A ``{name:*}`` part may hold slashes (image names, plugin names); a plain ``{name}`` may not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from corten.api.version import MINIMUM, ApiVersion


@dataclass(frozen=True, slots=True)
class Route:
    """One operation of the API."""

    method: str
    path: str
    name: str
    since: ApiVersion = MINIMUM
    pattern: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "pattern", _compile(self.path))

    @property
    def group(self) -> str:
        """The noun that the operation belongs to: what its name starts with."""
        return self.name.partition("_")[0]


@dataclass(frozen=True, slots=True)
class Match:
    """A row of the table and the variable parts of the path that found it."""

    route: Route
    params: Mapping[str, str]


_PART = re.compile(r"\{(\w+)(:\*)?\}")


def _compile(path: str) -> re.Pattern[str]:
    pattern, last = "", 0
    for part in _PART.finditer(path):
        pattern += re.escape(path[last : part.start()])
        pattern += f"(?P<{part[1]}>{'.+' if part[2] else '[^/]+'})"
        last = part.end()
    return re.compile(pattern + re.escape(path[last:]) + r"\Z", re.DOTALL)


def _v(minor: int) -> ApiVersion:
    return ApiVersion(1, minor)


_CONTAINERS = (
    Route("GET", "/containers/json", "container_list"),
    Route("POST", "/containers/create", "container_create"),
    Route("POST", "/containers/prune", "container_prune", _v(25)),
    Route("GET", "/containers/{name:*}/json", "container_inspect"),
    Route("GET", "/containers/{name:*}/top", "container_top"),
    Route("GET", "/containers/{name:*}/logs", "container_logs"),
    Route("GET", "/containers/{name:*}/changes", "container_changes"),
    Route("GET", "/containers/{name:*}/export", "container_export"),
    Route("GET", "/containers/{name:*}/stats", "container_stats"),
    Route("POST", "/containers/{name:*}/resize", "container_resize"),
    Route("POST", "/containers/{name:*}/start", "container_start"),
    Route("POST", "/containers/{name:*}/stop", "container_stop"),
    Route("POST", "/containers/{name:*}/restart", "container_restart"),
    Route("POST", "/containers/{name:*}/kill", "container_kill"),
    Route("POST", "/containers/{name:*}/update", "container_update"),
    Route("POST", "/containers/{name:*}/rename", "container_rename"),
    Route("POST", "/containers/{name:*}/pause", "container_pause"),
    Route("POST", "/containers/{name:*}/unpause", "container_unpause"),
    Route("POST", "/containers/{name:*}/attach", "container_attach"),
    Route("GET", "/containers/{name:*}/attach/ws", "container_attach_websocket"),
    Route("POST", "/containers/{name:*}/wait", "container_wait"),
    Route("DELETE", "/containers/{name:*}", "container_remove"),
    Route("HEAD", "/containers/{name:*}/archive", "container_archive_head"),
    Route("GET", "/containers/{name:*}/archive", "container_archive_get"),
    Route("PUT", "/containers/{name:*}/archive", "container_archive_put"),
    Route("GET", "/containers/{name:*}/checkpoints", "checkpoint_list", _v(25)),
    Route("POST", "/containers/{name:*}/checkpoints", "checkpoint_create", _v(25)),
    Route("DELETE", "/containers/{name:*}/checkpoints/{checkpoint}", "checkpoint_remove", _v(25)),
    Route("POST", "/commit", "container_commit"),
)

_EXECS = (
    Route("POST", "/containers/{name:*}/exec", "exec_create"),
    Route("POST", "/exec/{id}/start", "exec_start"),
    Route("POST", "/exec/{id}/resize", "exec_resize"),
    Route("GET", "/exec/{id}/json", "exec_inspect"),
)

_IMAGES = (
    Route("GET", "/images/json", "image_list"),
    Route("POST", "/images/create", "image_create"),
    Route("GET", "/images/search", "image_search"),
    Route("POST", "/images/prune", "image_prune", _v(25)),
    Route("GET", "/images/get", "image_save_many"),
    Route("POST", "/images/load", "image_load"),
    Route("GET", "/images/{name:*}/json", "image_inspect"),
    Route("GET", "/images/{name:*}/history", "image_history"),
    Route("GET", "/images/{name:*}/get", "image_save"),
    Route("POST", "/images/{name:*}/push", "image_push"),
    Route("POST", "/images/{name:*}/tag", "image_tag"),
    Route("DELETE", "/images/{name:*}", "image_remove"),
    Route("GET", "/distribution/{name:*}/json", "distribution_inspect", _v(30)),
)

_BUILDS = (
    Route("POST", "/build", "build_start"),
    Route("POST", "/build/prune", "build_prune", _v(31)),
    Route("POST", "/build/cancel", "build_cancel", _v(39)),
    Route("POST", "/session", "build_session", _v(31)),
    Route("POST", "/grpc", "build_grpc", _v(39)),
)

_NETWORKS = (
    Route("GET", "/networks", "network_list"),
    Route("POST", "/networks/create", "network_create"),
    Route("POST", "/networks/prune", "network_prune", _v(25)),
    Route("GET", "/networks/{name}", "network_inspect"),
    Route("DELETE", "/networks/{name}", "network_remove"),
    Route("POST", "/networks/{name}/connect", "network_connect"),
    Route("POST", "/networks/{name}/disconnect", "network_disconnect"),
)

_VOLUMES = (
    Route("GET", "/volumes", "volume_list"),
    Route("POST", "/volumes/create", "volume_create"),
    Route("POST", "/volumes/prune", "volume_prune", _v(25)),
    Route("GET", "/volumes/{name}", "volume_inspect"),
    Route("PUT", "/volumes/{name}", "volume_update", _v(42)),
    Route("DELETE", "/volumes/{name}", "volume_remove"),
)

_SYSTEM = (
    Route("GET", "/_ping", "system_ping"),
    Route("HEAD", "/_ping", "system_ping"),
    Route("GET", "/info", "system_info"),
    Route("GET", "/version", "system_version"),
    Route("POST", "/auth", "system_auth"),
    Route("GET", "/system/df", "system_usage", _v(25)),
    Route("GET", "/events", "event_stream"),
)

_SWARM = (
    Route("GET", "/swarm", "swarm_inspect"),
    Route("POST", "/swarm/init", "swarm_init"),
    Route("POST", "/swarm/join", "swarm_join"),
    Route("POST", "/swarm/leave", "swarm_leave"),
    Route("POST", "/swarm/update", "swarm_update"),
    Route("GET", "/swarm/unlockkey", "swarm_unlockkey"),
    Route("POST", "/swarm/unlock", "swarm_unlock"),
    Route("GET", "/nodes", "node_list"),
    Route("GET", "/nodes/{name}", "node_inspect"),
    Route("DELETE", "/nodes/{name}", "node_remove"),
    Route("POST", "/nodes/{name}/update", "node_update"),
    Route("GET", "/services", "service_list"),
    Route("POST", "/services/create", "service_create"),
    Route("GET", "/services/{name}", "service_inspect"),
    Route("DELETE", "/services/{name}", "service_remove"),
    Route("POST", "/services/{name}/update", "service_update"),
    Route("GET", "/services/{name}/logs", "service_logs", _v(29)),
    Route("GET", "/tasks", "task_list"),
    Route("GET", "/tasks/{name}", "task_inspect"),
    Route("GET", "/tasks/{name}/logs", "task_logs", _v(29)),
    Route("GET", "/secrets", "secret_list", _v(25)),
    Route("POST", "/secrets/create", "secret_create", _v(25)),
    Route("GET", "/secrets/{name}", "secret_inspect", _v(25)),
    Route("DELETE", "/secrets/{name}", "secret_remove", _v(25)),
    Route("POST", "/secrets/{name}/update", "secret_update", _v(25)),
    Route("GET", "/configs", "config_list", _v(30)),
    Route("POST", "/configs/create", "config_create", _v(30)),
    Route("GET", "/configs/{name}", "config_inspect", _v(30)),
    Route("DELETE", "/configs/{name}", "config_remove", _v(30)),
    Route("POST", "/configs/{name}/update", "config_update", _v(30)),
)

_PLUGINS = (
    Route("GET", "/plugins", "plugin_list", _v(25)),
    Route("GET", "/plugins/privileges", "plugin_privileges", _v(25)),
    Route("POST", "/plugins/pull", "plugin_pull", _v(25)),
    Route("POST", "/plugins/create", "plugin_create", _v(25)),
    Route("GET", "/plugins/{name:*}/json", "plugin_inspect", _v(25)),
    Route("POST", "/plugins/{name:*}/enable", "plugin_enable", _v(25)),
    Route("POST", "/plugins/{name:*}/disable", "plugin_disable", _v(25)),
    Route("POST", "/plugins/{name:*}/upgrade", "plugin_upgrade", _v(26)),
    Route("POST", "/plugins/{name:*}/push", "plugin_push", _v(25)),
    Route("POST", "/plugins/{name:*}/set", "plugin_set", _v(25)),
    Route("DELETE", "/plugins/{name:*}", "plugin_remove", _v(25)),
)

# Ours, not Docker's.
_CORTEN = (
    Route("GET", "/corten/builds/{id}/cache", "build_cache"),
    Route("GET", "/corten/exposures", "exposure_list"),
    Route("GET", "/corten/images/{name:*}/files", "image_files"),
    Route("GET", "/corten/images/{name:*}/changes", "image_changes"),
    Route("GET", "/corten/manifests/{name:*}", "manifest_inspect"),
    Route("POST", "/corten/manifests/{name:*}", "manifest_push"),
    Route("POST", "/corten/store/check", "store_check"),
    Route("GET", "/corten/store/budget", "store_budget"),
    Route("POST", "/corten/store/budget", "store_enforce"),
    Route("GET", "/corten/watch", "watch_list"),
    Route("POST", "/corten/watch/check", "watch_check"),
    Route("POST", "/corten/watch/notify", "watch_notify"),
)

ROUTES: tuple[Route, ...] = (
    *_CONTAINERS,
    *_EXECS,
    *_IMAGES,
    *_BUILDS,
    *_NETWORKS,
    *_VOLUMES,
    *_SYSTEM,
    *_SWARM,
    *_PLUGINS,
    *_CORTEN,
)

SWARM_GROUPS = frozenset({"swarm", "node", "service", "task", "secret", "config"})


def _index() -> dict[tuple[str, str], tuple[Route, ...]]:
    index: dict[tuple[str, str], list[Route]] = {}
    for route in ROUTES:
        index.setdefault((route.method, _head(route.path)), []).append(route)
    return {key: tuple(rows) for key, rows in index.items()}


def _head(path: str) -> str:
    return path.split("/", 2)[1] if path.startswith("/") else ""


_INDEX = _index()


def match(method: str, path: str) -> Match | None:
    """The row that a request without its version prefix means.  The first that matches wins, as in the table."""
    for route in _INDEX.get((method, _head(path)), ()):
        if found := route.pattern.match(path):
            return Match(route, found.groupdict())
    return None
