"""Rows of a listing in the form that the user asked for: table, quiet, template, JSON.

Owns: what ``--format`` may be.  A row is a mapping of field names to text (or to a function of a template's arguments);
a command states its headers and its default columns.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from corten.cli.output import tabular
from corten.errors import Invalid

Row = Mapping[str, str | Callable[..., str]]


def show(
    rows: Iterable[Row],
    headers: Mapping[str, str],
    columns: Sequence[str],
    form: str = "",
    *,
    quiet: str = "",
    kind: str = "formatter.Context",
) -> None:
    """Print the rows.  ``quiet`` names the field that is shown alone."""
    if quiet and form in ("", "table"):
        _write([str(row[quiet]) for row in rows])
    elif form in ("", "table"):
        table = [[str(row[column]) for column in columns] for row in rows]
        _write(tabular.align(["\t".join(cells) for cells in ([headers[name] for name in columns], *table)]))
    elif form == "json":
        _write([as_json(row) for row in rows])
    else:
        _template(list(rows), headers, form, kind)


def _template(rows: list[Row], headers: Mapping[str, str], form: str, kind: str) -> None:
    from corten.cli.output.template import Template, TemplateError

    is_table = form.startswith("table")
    text = form.removeprefix("table").strip() if is_table else form
    try:
        template = Template(text, strict="can't evaluate field {name} in type *" + kind)
    except TemplateError as error:
        raise Invalid(f"template parsing error: {error}") from error
    lines: list[str] = []
    try:
        if is_table:
            with_label: dict[str, Any] = {**headers, "Label": _label_header}
            lines.append(template.render(with_label))
        lines += [template.render(row) for row in rows]
    except TemplateError as error:
        raise Invalid(f"failed to execute template: {error}") from error
    joined = "\n".join(lines).split("\n") if lines else []
    _write(tabular.align(joined) if is_table else joined)


def _label_header(name: str) -> str:
    # docker: the last part of a label's name, its dashes and underscores as blanks, is its column's title
    return name.rpartition(".")[2].replace("-", " ").replace("_", " ")


def as_json(row: Row) -> str:
    """A row as one line of JSON: its fields by name."""
    from corten.cli.output.template.functions import to_json

    text = to_json({name: row[name] for name in sorted(row) if not callable(row[name])})
    # docker: this one place escapes for HTML, as Go's Marshal does
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _write(lines: Iterable[str]) -> None:
    text = "\n".join(lines)
    if text:
        sys.stdout.write(text + "\n")
    sys.stdout.flush()


def ellipsis(text: str, length: int) -> str:
    """Cut to a length with an ellipsis as the last character."""
    if length < 1 or len(text) <= length:
        return text
    return text[: length - 1] + "…"


def short_id(text: str) -> str:
    """Twelve digits of an id."""
    return text.removeprefix("sha256:")[:12]


def label_text(labels: Mapping[str, str] | None) -> str:
    """``a=1,b=2`` in the order of names."""
    return ",".join(f"{name}={value}" for name, value in sorted((labels or {}).items()))
