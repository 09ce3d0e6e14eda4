"""What a client asks of a build and how it may fail.  Values only; service.py makes the build of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from corten.errors import Internal

DEFAULT_DOCKERFILE = "Dockerfile"


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """The parameters of POST /build; names as in its documentation where they are words."""

    build_id: str = ""
    dockerfile: str = DEFAULT_DOCKERFILE
    remote: str = ""
    tags: tuple[str, ...] = ()
    build_args: Mapping[str, str | None] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    cache_from: tuple[str, ...] = ()
    no_cache: bool = False
    pull: bool = False
    remove: bool = True
    force_remove: bool = False
    quiet: bool = False
    squash: bool = False
    target: str = ""
    platform: str = ""
    network: str = ""
    extra_hosts: tuple[str, ...] = ()
    shm_size: int = 0
    resources: Mapping[str, Any] = field(default_factory=dict)
    ulimits: tuple[Mapping[str, Any], ...] = ()
    cgroup_parent: str = ""
    credentials: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    # What POST /build has no parameter for; BuildKit's clients ask for it.
    named_contexts: Mapping[str, str | Path] = field(default_factory=dict)
    no_cache_filter: tuple[str, ...] = ()
    entitlements: frozenset[str] = frozenset()
    apply_ignore: bool = True
    # What Corten's own client may ask beyond Docker's parameters (docs/builds.md).
    check: bool = False
    explain: bool = False
    keep_failed: bool = False
    contexts: Mapping[str, str] = field(default_factory=dict)
    agents: Mapping[str, str] = field(default_factory=dict)
    cache_imports: tuple[Mapping[str, str], ...] = ()
    cache_exports: tuple[Mapping[str, str], ...] = ()


class BuildFailed(Internal):
    """A RUN ended with a status other than 0; clients get it as ``errorDetail.code``."""

    def __init__(self, message: str, status: int, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status
