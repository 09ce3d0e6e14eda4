"""Messages that several services use: time, platforms, workers, capabilities, errors, LLB definitions as a whole."""

from __future__ import annotations

from dataclasses import dataclass

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
class Timestamp(Message):
    seconds: int = integer(1)
    nanos: int = integer(2)

    @classmethod
    def of(cls, time_ns: int) -> Timestamp:
        return cls(time_ns // 10**9, time_ns % 10**9)


@dataclass(slots=True)
class Platform(Message):
    architecture: str = string(1)
    os: str = string(2)
    variant: str = string(3)


@dataclass(slots=True)
class BuildkitVersion(Message):
    package: str = string(1)
    version: str = string(2)
    revision: str = string(3)


@dataclass(slots=True)
class WorkerRecord(Message):
    id: str = string(1)
    labels: dict[str, str] = text_map(2)
    platforms: list[Platform] = messages(3, lambda: Platform)
    version: BuildkitVersion | None = nested(5, lambda: BuildkitVersion)


@dataclass(slots=True)
class Cap(Message):
    """Something that a client may rely on."""

    id: str = string(1)
    enabled: bool = boolean(2)


@dataclass(slots=True)
class Any(Message):
    type_url: str = string(1)
    value: bytes = blob(2)


@dataclass(slots=True)
class Status(Message):
    """google.rpc.Status."""

    code: int = integer(1)
    message: str = string(2)
    details: list[Any] = messages(3, lambda: Any)


@dataclass(slots=True)
class SourceOp(Message):
    identifier: str = string(1)
    attrs: dict[str, str] = text_map(2)


@dataclass(slots=True)
class Input(Message):
    digest: str = string(1)
    index: int = integer(2)


@dataclass(slots=True)
class Op(Message):
    """An operation of LLB: only sources are understood; of others it is known that they are there."""

    inputs: list[Input] = messages(1, lambda: Input)
    execution: bytes = blob(2)
    source: SourceOp | None = nested(3, lambda: SourceOp)
    file: bytes = blob(4)
    platform: Platform | None = nested(10, lambda: Platform)


@dataclass(slots=True)
class OpMetadata(Message):
    caps: bytes = blob(5)


@dataclass(slots=True)
class Definition(Message):
    """An LLB definition: operations, each packed."""

    ops: list[bytes] = blobs(1)
    metadata: dict[str, OpMetadata] = message_map(2, lambda: OpMetadata)


@dataclass(slots=True)
class CacheEntry(Message):
    """An import or export of build cache."""

    type: str = string(1)
    attrs: dict[str, str] = text_map(2)


@dataclass(slots=True)
class Position(Message):
    line: int = integer(1)
    character: int = integer(2)


@dataclass(slots=True)
class Range(Message):
    start: Position | None = nested(1, lambda: Position)
    end: Position | None = nested(2, lambda: Position)


@dataclass(slots=True)
class SourceInfo(Message):
    """The file that a warning or an error is about."""

    filename: str = string(1)
    data: bytes = blob(2)
    language: str = string(4)


@dataclass(slots=True)
class Names(Message):
    """Nothing but strings."""

    names: list[str] = strings(1)
