"""Which names a ``reference`` filter keeps: those that Go's ``path.Match`` fits to the pattern."""

from __future__ import annotations

from corten.build.dockerfile import go
from corten.spec.reference import Reference


def fits(pattern: str, reference: Reference) -> bool:
    """The pattern fits the short form, with its tag or digest or without.  Raises Invalid for a broken pattern."""
    return go.match(pattern, reference.familiar()) or go.match(pattern, reference.familiar_name)
