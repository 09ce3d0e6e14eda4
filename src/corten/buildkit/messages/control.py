"""Messages of moby.buildkit.v1.Control: solving, its progress, workers, the cache."""

from __future__ import annotations

from dataclasses import dataclass

from corten.buildkit.messages.shared import (
    BuildkitVersion,
    CacheEntry,
    Definition,
    Range,
    SourceInfo,
    Timestamp,
    WorkerRecord,
)
from corten.buildkit.wire import (
    Message,
    blob,
    blobs,
    boolean,
    integer,
    message_map,
    messages,
    nested,
    string,
    strings,
    text_map,
)


@dataclass(slots=True)
class Exporter(Message):
    type: str = string(1)
    attrs: dict[str, str] = text_map(2)


@dataclass(slots=True)
class CacheOptions(Message):
    export_ref: str = string(1)
    import_refs: list[str] = strings(2)
    exports: list[CacheEntry] = messages(4, lambda: CacheEntry)
    imports: list[CacheEntry] = messages(5, lambda: CacheEntry)


@dataclass(slots=True)
class SolveRequest(Message):
    ref: str = string(1)
    definition: Definition | None = nested(2, lambda: Definition)
    exporter_deprecated: str = string(3)
    exporter_attrs_deprecated: dict[str, str] = text_map(4)
    session: str = string(5)
    frontend: str = string(6)
    frontend_attrs: dict[str, str] = text_map(7)
    cache: CacheOptions | None = nested(8, lambda: CacheOptions)
    entitlements: list[str] = strings(9)
    frontend_inputs: dict[str, Definition] = message_map(10, lambda: Definition)
    internal: bool = boolean(11)
    source_policy: bytes = blob(12)
    exporters: list[Exporter] = messages(13, lambda: Exporter)

    def all_exporters(self) -> list[Exporter]:
        """Older clients name one exporter in fields of its own."""
        if self.exporters or not self.exporter_deprecated:
            return self.exporters
        return [Exporter(self.exporter_deprecated, self.exporter_attrs_deprecated)]


@dataclass(slots=True)
class SolveResponse(Message):
    exporter_response: dict[str, str] = text_map(1)


@dataclass(slots=True)
class StatusRequest(Message):
    ref: str = string(1)


@dataclass(slots=True)
class Vertex(Message):
    """A step as it is shown; every change sends it whole."""

    digest: str = string(1)
    inputs: list[str] = strings(2)
    name: str = string(3)
    cached: bool = boolean(4)
    started: Timestamp | None = nested(5, lambda: Timestamp)
    completed: Timestamp | None = nested(6, lambda: Timestamp)
    error: str = string(7)


@dataclass(slots=True)
class VertexStatus(Message):
    """A bar below a step."""

    id: str = string(1)
    vertex: str = string(2)
    name: str = string(3)
    current: int = integer(4)
    total: int = integer(5)
    timestamp: Timestamp | None = nested(6, lambda: Timestamp)
    started: Timestamp | None = nested(7, lambda: Timestamp)
    completed: Timestamp | None = nested(8, lambda: Timestamp)


@dataclass(slots=True)
class VertexLog(Message):
    vertex: str = string(1)
    timestamp: Timestamp | None = nested(2, lambda: Timestamp)
    stream: int = integer(3)
    msg: bytes = blob(4)


@dataclass(slots=True)
class VertexWarning(Message):
    vertex: str = string(1)
    level: int = integer(2)
    short: bytes = blob(3)
    detail: list[bytes] = blobs(4)
    url: str = string(5)
    info: SourceInfo | None = nested(6, lambda: SourceInfo)
    ranges: list[Range] = messages(7, lambda: Range)


@dataclass(slots=True)
class StatusResponse(Message):
    vertexes: list[Vertex] = messages(1, lambda: Vertex)
    statuses: list[VertexStatus] = messages(2, lambda: VertexStatus)
    logs: list[VertexLog] = messages(3, lambda: VertexLog)
    warnings: list[VertexWarning] = messages(4, lambda: VertexWarning)


@dataclass(slots=True)
class ListWorkersResponse(Message):
    record: list[WorkerRecord] = messages(1, lambda: WorkerRecord)


@dataclass(slots=True)
class InfoResponse(Message):
    version: BuildkitVersion | None = nested(1, lambda: BuildkitVersion)


@dataclass(slots=True)
class UsageRequest(Message):
    filter: list[str] = strings(1)


@dataclass(slots=True)
class UsageRecord(Message):
    id: str = string(1)
    mutable: bool = boolean(2)
    in_use: bool = boolean(3)
    size: int = integer(4)
    created: Timestamp | None = nested(6, lambda: Timestamp)
    last_used: Timestamp | None = nested(7, lambda: Timestamp)
    usage_count: int = integer(8)
    description: str = string(9)
    record_type: str = string(10)
    shared: bool = boolean(11)
    parents: list[str] = strings(12)


@dataclass(slots=True)
class UsageResponse(Message):
    record: list[UsageRecord] = messages(1, lambda: UsageRecord)


@dataclass(slots=True)
class PruneRequest(Message):
    filter: list[str] = strings(1)
    all: bool = boolean(2)
    keep_duration: int = integer(3)
    reserved_space: int = integer(4)
    max_used_space: int = integer(5)
    min_free_space: int = integer(6)
