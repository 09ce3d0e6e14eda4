"""One value in the form that the user asked for: what ``--format`` is where there are no rows.

For lists read listing.py.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any


def renderer(form: str) -> Callable[[Any], str]:
    """``json`` or a Go template, as a function of the value; both raise TemplateError."""
    if form == "json":
        from corten.cli.output.template.functions import to_json

        return to_json
    from corten.cli.output.template import Template

    with _told():
        template = Template(form, strict='map has no entry for key "{name}"')

    def render(value: Any) -> str:
        with _told():
            return template.render(value)

    return render


@contextlib.contextmanager
def _told() -> Iterator[None]:
    from corten.cli.output.template import TemplateError

    try:
        yield
    except TemplateError as error:
        error.message = f"template parsing error: {error.message}"
        raise
