"""gRPC's status codes, and errors as clients see them."""

from __future__ import annotations

import string
from urllib.parse import quote, unquote

from corten.errors import (
    Conflict,
    CortenError,
    Denied,
    Invalid,
    NotFound,
    NotImplementedYet,
    Unauthorized,
    Unavailable,
)

OK, CANCELLED, UNKNOWN, INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS = 0, 1, 2, 3, 5, 6
PERMISSION_DENIED, RESOURCE_EXHAUSTED, FAILED_PRECONDITION = 7, 8, 9
UNIMPLEMENTED, INTERNAL, UNAVAILABLE, UNAUTHENTICATED = 12, 13, 14, 16

_CODES: dict[type[CortenError], int] = {
    Invalid: INVALID_ARGUMENT,
    NotFound: NOT_FOUND,
    Denied: PERMISSION_DENIED,
    Conflict: FAILED_PRECONDITION,
    NotImplementedYet: UNIMPLEMENTED,
    Unavailable: UNAVAILABLE,
    Unauthorized: UNAUTHENTICATED,
}
_PLAIN = "".join(sorted(set(string.printable) - set("%\r\n\t\v\f")))


class RpcFailed(CortenError):
    """A call that the other side refused, or that is refused with just this code."""

    def __init__(self, message: str, code: int = UNKNOWN) -> None:
        super().__init__(message)
        self.code = code


def code_of(error: CortenError) -> int:
    """The code for one of our errors."""
    return error.code if isinstance(error, RpcFailed) else _CODES.get(type(error), UNKNOWN)


def pack_message(text: str) -> str:
    """As it stands in the ``grpc-message`` trailer."""
    return quote(text, safe=_PLAIN)


def unpack_message(text: str) -> str:
    """The other way round."""
    return unquote(text, errors="replace")
