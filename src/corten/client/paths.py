"""Paths of the Engine API with names in them, encoded."""

from __future__ import annotations

from corten.client.session import quote


def container(name: str, rest: str = "") -> str:
    """``/containers/<name><rest>``."""
    return f"/containers/{quote(name)}{rest}"


def image(name: str, rest: str = "") -> str:
    """``/images/<name><rest>``; names keep their slashes."""
    return f"/images/{quote(name, '/:@')}{rest}"


def network(name: str, rest: str = "") -> str:
    """``/networks/<name><rest>``."""
    return f"/networks/{quote(name)}{rest}"


def volume(name: str) -> str:
    """``/volumes/<name>``."""
    return f"/volumes/{quote(name)}"
