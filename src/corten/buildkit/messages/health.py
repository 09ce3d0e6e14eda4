"""Messages of grpc.health.v1."""

from __future__ import annotations

from dataclasses import dataclass

from corten.buildkit.wire import Message, integer, string


@dataclass(slots=True)
class CheckRequest(Message):
    service: str = string(1)


@dataclass(slots=True)
class CheckResponse(Message):
    """``status`` 1 is SERVING."""

    status: int = integer(1)
