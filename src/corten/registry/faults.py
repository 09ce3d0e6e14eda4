"""A refusal of the registry, in the specification's words, and how it is answered.

Owns: Refused and its response.  Everything else that is raised becomes one here, in one place.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from corten.errors import Conflict, CortenError, Invalid, NotFound, Unavailable
from corten.spec.distribution import ErrorCode, ErrorDetail, print_errors

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Refused(CortenError):
    """A request that the registry does not fulfil, with the code that tells the client why."""

    def __init__(
        self,
        code: ErrorCode,
        message: str = "",
        *,
        detail: Any = None,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message or code.text)
        self.code = code
        self.detail = detail
        self.status = status or code.status
        self.headers = dict(headers or {})


def refusal(error: Exception) -> Refused:
    """What to answer to whatever was raised."""
    match error:
        case Refused():
            return error
        case Invalid():
            return Refused(
                ErrorCode.DIGEST_INVALID if "digest" in str(error) else ErrorCode.UNSUPPORTED, str(error), status=400
            )
        case NotFound():
            return Refused(ErrorCode.BLOB_UNKNOWN, str(error))
        case Conflict():
            return Refused(ErrorCode.BLOB_UPLOAD_INVALID, str(error), status=409)
        case Unavailable():
            return Refused(ErrorCode.UNAVAILABLE, str(error))
        case OSError() if error.errno in _NO_ROOM:
            return Refused(ErrorCode.UNKNOWN, "the registry's storage is full", status=507)
        case _:
            return Refused(ErrorCode.UNKNOWN, "internal error; the registry's log tells more")


def answer(refused: Refused) -> web.Response:
    """The response that tells the client of ``refused``."""
    body = print_errors([ErrorDetail(refused.code.name, refused.message, refused.detail)])
    return web.Response(status=refused.status, body=body, content_type="application/json", headers=refused.headers)
