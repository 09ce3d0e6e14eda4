"""``os[/arch[/variant]]`` as the API's JSON."""

from __future__ import annotations

from corten.errors import Invalid


def parameter(text: str) -> dict[str, str] | None:
    """A platform of the API; None where none is asked for.  Raises Invalid."""
    if not text:
        return None
    parts = text.lower().split("/")
    if len(parts) > 3 or not all(parts) or not all(part.replace("-", "").replace("_", "").isalnum() for part in parts):
        raise Invalid(f'"{text}": invalid platform: the form is os[/arch[/variant]]')
    return dict(zip(("os", "architecture", "variant"), parts, strict=False))
