"""The part of Go's text/template that people give to ``--format``.

lex.py cuts text into actions and words, parse.py makes a tree, evaluate.py walks it over JSON values, functions.py
holds what a pipeline may call.  Differences from Go: values are JSON, so a field is found by its JSON name (any case).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from corten.cli.output.template.evaluate import Missing, Template
from corten.cli.output.template.lex import TemplateError

__all__ = ["Missing", "Template", "TemplateError", "render"]


def render(text: str, value: Mapping[str, Any]) -> str:
    """A template applied to one value."""
    return Template(text).render(value)
