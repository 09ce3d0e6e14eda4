"""JSON inside the query and inside headers: build arguments, platforms, credentials.

Owns: decoding and the words it is refused with.  For booleans, numbers and bodies read request.py.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from aiohttp import web

from corten.errors import Invalid
from corten.spec.platform import Platform


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


def optional_texts(request: web.Request, name: str, what: str) -> dict[str, str | None]:
    """A JSON object of strings or nulls in the query."""
    value = document(request, name, what) or {}
    if not isinstance(value, dict) or not all(item is None or isinstance(item, str) for item in value.values()):
        raise Invalid(f"{what}: json: cannot unmarshal into a map of strings")
    return value


def listed(request: web.Request, name: str, what: str) -> tuple[Any, ...]:
    """A JSON array in the query."""
    value = document(request, name, what) or []
    if not isinstance(value, list):
        raise Invalid(f"{what}: json: cannot unmarshal into an array")
    return tuple(value)


def platform(request: web.Request, name: str = "platform") -> Platform | None:
    """A platform in JSON, as the newer routes take it."""
    if len(request.query.getall(name, [])) > 1:
        raise Invalid("multiple platform parameters not supported")
    return _platform(request.query.get(name, ""))


def platforms(request: web.Request, name: str = "platforms") -> tuple[Platform, ...]:
    """Several platforms, each in JSON."""
    found = (_platform(text) for text in request.query.getall(name, []))
    return tuple(item for item in found if item is not None)


def _platform(text: str) -> Platform | None:
    if not text:
        return None
    try:
        value = json.loads(text)
    except ValueError:
        raise Invalid("failed to parse platform") from None
    if not isinstance(value, dict) or not value.get("os") or not value.get("architecture"):
        raise Invalid("both OS and Architecture must be provided")
    return Platform.from_json(value)


def header(request: web.Request, name: str) -> dict[str, Any]:
    """An object in base64url JSON (credentials); what cannot be read counts as none, as it always did."""
    text = request.headers.get(name, "").strip().rstrip("=")
    if not text:
        return {}
    try:
        data = base64.b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4))
        value = json.loads(data)
    except (ValueError, binascii.Error):
        return {}
    return value if isinstance(value, dict) else {}
