"""Reading what a request asks: flags, numbers and JSON in the query, JSON in the body, credentials in headers.

Owns: how Docker spells these on the wire and the words it refuses them with.  Knows no route and no noun.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from aiohttp import web

from corten.errors import Invalid

# docker: everything else that is not empty means yes (httputils.BoolValue).
NO = frozenset({"", "0", "no", "false", "none"})


def flag(request: web.Request, name: str, default: bool = False) -> bool:
    """A yes or no of the query."""
    value = request.query.get(name)
    return default if value is None else value.strip().lower() not in NO


def number(request: web.Request, name: str, default: int = 0) -> int:
    """A whole number of the query."""
    value = request.query.get(name, "")
    if value == "":
        return default
    try:
        return int(value)
    except ValueError:
        raise Invalid(f'strconv.ParseInt: parsing "{value}": invalid syntax') from None


def document(request: web.Request, name: str, what: str) -> Any:
    """JSON in the query, or None where there is none; ``what`` opens the refusal."""
    text = request.query.get(name, "")
    if not text:
        return None
    try:
        return json.loads(text)
    except ValueError as error:
        raise Invalid(f"{what}: {error}") from None


def texts(request: web.Request, name: str, what: str) -> dict[str, str]:
    """A JSON object of strings in the query."""
    value = document(request, name, what) or {}
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise Invalid(f"{what}: json: cannot unmarshal into a map of strings")
    return value


async def body(request: web.Request) -> dict[str, Any]:
    """The JSON object that a request carries."""
    data = await request.read()
    if not data.strip():
        raise Invalid("invalid JSON: got EOF while reading request body")
    if not request.content_type.endswith("json"):
        raise Invalid(f"unsupported Content-Type header ({request.content_type}): must be 'application/json'")
    try:
        value = json.loads(data)
    except ValueError as error:
        raise Invalid(f"invalid JSON: {error}") from None
    if not isinstance(value, dict):
        raise Invalid("invalid JSON: an object is needed")
    return value


def credentials(request: web.Request, header: str = "X-Registry-Auth") -> dict[str, Any]:
    """An object in base64url JSON; what cannot be read counts as none, as it always did."""
    text = request.headers.get(header, "").strip()
    if not text:
        return {}
    try:
        data = base64.b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4))
        value = json.loads(data)
    except (ValueError, binascii.Error):
        return {}
    return value if isinstance(value, dict) else {}
