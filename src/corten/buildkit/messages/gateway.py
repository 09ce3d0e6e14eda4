"""Messages of moby.buildkit.v1.frontend.LLBBridge, through which a client drives its own solve."""

from __future__ import annotations

from dataclasses import dataclass

from corten.buildkit.messages.session import Stat
from corten.buildkit.messages.shared import (
    CacheEntry,
    Cap,
    Definition,
    Platform,
    Range,
    SourceInfo,
    Status,
    WorkerRecord,
)
from corten.buildkit.wire import (
    Message,
    blob,
    blob_map,
    blobs,
    boolean,
    integer,
    message_map,
    messages,
    nested,
    string,
    text_map,
)


@dataclass(slots=True)
class Ref(Message):
    """A result; ``definition`` is what another solve may name it by."""

    id: str = string(1)
    definition: Definition | None = nested(2, lambda: Definition)


@dataclass(slots=True)
class RefMap(Message):
    refs: dict[str, Ref] = message_map(1, lambda: Ref)


@dataclass(slots=True)
class Result(Message):
    """One reference, or one for each platform."""

    ref_deprecated: str = string(1)
    ref: Ref | None = nested(3, lambda: Ref)
    refs: RefMap | None = nested(4, lambda: RefMap)
    metadata: dict[str, bytes] = blob_map(10)


@dataclass(slots=True)
class ReturnRequest(Message):
    result: Result | None = nested(1, lambda: Result)
    error: Status | None = nested(2, lambda: Status)


@dataclass(slots=True)
class InputsResponse(Message):
    definitions: dict[str, Definition] = message_map(1, lambda: Definition)


@dataclass(slots=True)
class ResolveImageConfigRequest(Message):
    ref: str = string(1)
    platform: Platform | None = nested(2, lambda: Platform)
    resolve_mode: str = string(3)
    log_name: str = string(4)


@dataclass(slots=True)
class ResolveImageConfigResponse(Message):
    digest: str = string(1)
    config: bytes = blob(2)
    ref: str = string(3)


@dataclass(slots=True)
class SolveRequest(Message):
    definition: Definition | None = nested(1, lambda: Definition)
    frontend: str = string(2)
    frontend_opt: dict[str, str] = text_map(3)
    final: bool = boolean(10)
    cache_imports: list[CacheEntry] = messages(12, lambda: CacheEntry)
    frontend_inputs: dict[str, Definition] = message_map(13, lambda: Definition)
    evaluate: bool = boolean(14)


@dataclass(slots=True)
class SolveResponse(Message):
    ref: str = string(1)
    result: Result | None = nested(3, lambda: Result)


@dataclass(slots=True)
class FileRange(Message):
    offset: int = integer(1)
    length: int = integer(2)


@dataclass(slots=True)
class ReadFileRequest(Message):
    ref: str = string(1)
    path: str = string(2)
    range: FileRange | None = nested(3, lambda: FileRange)


@dataclass(slots=True)
class ReadFileResponse(Message):
    data: bytes = blob(1)


@dataclass(slots=True)
class ReadDirRequest(Message):
    ref: str = string(1)
    path: str = string(2)
    include: str = string(3)


@dataclass(slots=True)
class ReadDirResponse(Message):
    entries: list[Stat] = messages(1, lambda: Stat)


@dataclass(slots=True)
class StatFileRequest(Message):
    ref: str = string(1)
    path: str = string(2)


@dataclass(slots=True)
class StatFileResponse(Message):
    stat: Stat | None = nested(1, lambda: Stat)


@dataclass(slots=True)
class PongResponse(Message):
    frontend_caps: list[Cap] = messages(1, lambda: Cap)
    llb_caps: list[Cap] = messages(2, lambda: Cap)
    workers: list[WorkerRecord] = messages(3, lambda: WorkerRecord)


@dataclass(slots=True)
class WarnRequest(Message):
    digest: str = string(1)
    level: int = integer(2)
    short: bytes = blob(3)
    detail: list[bytes] = blobs(4)
    url: str = string(5)
    info: SourceInfo | None = nested(6, lambda: SourceInfo)
    ranges: list[Range] = messages(7, lambda: Range)
