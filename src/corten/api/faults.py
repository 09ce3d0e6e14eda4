"""``{"message": …}`` and a status code, to and from the classes of ``errors``.

Owns: the one table of statuses.  The server prints failures with it, the client raises them again with it.
"""

from __future__ import annotations

import json
from typing import Any

from corten import errors

STATUS: dict[type[errors.CortenError], int] = {
    errors.NotModified: 304,
    errors.Invalid: 400,
    errors.Unauthorized: 401,
    errors.Denied: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.NotImplementedYet: 501,
    errors.Unavailable: 503,
    errors.Internal: 500,
}
_BY_STATUS = {status: kind for kind, status in STATUS.items()}


def status_of(error: BaseException) -> int:
    """The HTTP status that stands for a failure; 500 for what is no failure of ours."""
    for kind in type(error).__mro__:
        if status := STATUS.get(kind):
            return status
    return 500


def body_of(error: BaseException) -> dict[str, Any]:
    """The JSON body that tells a failure."""
    return {"message": str(error) or type(error).__name__}


def error_for(status: int, body: bytes) -> errors.CortenError:
    """The failure that an answer of this status tells."""
    kind = _BY_STATUS.get(status) or (errors.Invalid if 400 <= status < 500 else errors.Internal)
    try:
        message = json.loads(body)["message"]
    except (ValueError, KeyError, TypeError):
        message = body.decode(errors="replace").strip() or f"HTTP status {status}"
    return kind(str(message))
