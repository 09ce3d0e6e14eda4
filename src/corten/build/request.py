"""What a build is asked to do, and what it gives back: values only; engine/builds makes them of the server's words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from corten.build.ports import Secrets


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """One build.

    ``context`` is a directory that belongs to the build (the engine unpacked the client's tar there); None is an empty
    context.  ``dockerfile`` is the text; ``dockerfile_name`` its path in the context, for messages and the ignore file.
    ``build_args`` with value None take the default in the Dockerfile.  ``named_contexts`` are --build-context:
    name -> directory or "docker-image://..." reference.  ``entitlements`` are --allow ("security.insecure").
    ``keep_failed`` leaves the snapshot of a failed RUN for a shell (StepFailed.snapshot).
    """

    dockerfile: str
    context: Path | None = None
    dockerfile_name: str = "Dockerfile"
    target: str = ""
    build_args: Mapping[str, str | None] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    platform: str | None = None
    no_cache: bool = False
    no_cache_filter: tuple[str, ...] = ()
    pull: bool = False
    cache_from: tuple[str, ...] = ()
    remove: bool = True
    force_remove: bool = False
    network: str = "default"
    extra_hosts: tuple[str, ...] = ()
    shm_size: int = 0
    resources: Mapping[str, Any] = field(default_factory=dict)
    ulimits: tuple[Mapping[str, Any], ...] = ()
    security_opt: tuple[str, ...] = ()
    cgroup_parent: str = ""
    named_contexts: Mapping[str, str | Path] = field(default_factory=dict)
    secrets: Secrets | None = None
    entitlements: frozenset[str] = frozenset()
    explain: bool = False
    apply_ignore: bool = True
    keep_failed: bool = False
    source_date_epoch: int | None = None


@dataclass(frozen=True, slots=True)
class BuildResult:
    """The image made.  ``chain`` names its snapshot (None: no layers); ``warnings`` were printed; ``base_layers`` of
    its layers are its base image's."""

    image_id: str
    config: Mapping[str, Any]
    chain: str | None
    diff_ids: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    base_layers: int = 0
