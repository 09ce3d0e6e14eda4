"""``corten events``: what happens in the daemon, as it happens."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from corten.cli import times, values
from corten.cli.command import Call, Command
from corten.errors import CortenError


def run(call: Call) -> None:
    """Print each event as a line."""
    options = call.options
    query = {
        "since": times.parameter(options.text("since")),
        "until": times.parameter(options.text("until")),
        "filters": values.filters(options.many("filter")),
    }
    show = _printer(options.text("format"))
    for event in call.session.request("GET", "/events", query).objects():
        print(show(event), flush=True)


def _printer(form: str) -> Callable[[dict[str, Any]], str]:
    if not form:
        return line
    from corten.cli.output.template import Template, TemplateError
    from corten.cli.output.template.functions import to_json

    if form == "json":
        return to_json
    try:
        return Template(form, strict="can't evaluate field {name} in type *events.Message").render
    except TemplateError as error:
        raise _unreadable(error) from error


def _unreadable(error: CortenError) -> CortenError:
    error.message = f"Error parsing format: {error.message}"
    return error


def line(event: dict[str, Any]) -> str:
    """``time type action id (name=value, …)``."""
    actor = event.get("Actor") or {}
    attributes = ", ".join(f"{name}={value}" for name, value in sorted((actor.get("Attributes") or {}).items()))
    words = [_moment(event), str(event["Type"]), str(event["Action"]), str(actor.get("ID") or "")]
    return " ".join(words) + (f" ({attributes})" if attributes else "")


def _moment(event: dict[str, Any]) -> str:
    nanoseconds = int(event.get("timeNano") or event["time"] * 1_000_000_000)
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    broken = time.localtime(seconds)
    zone = time.strftime("%z", broken)
    zone = "Z" if zone == "+0000" else f"{zone[:3]}:{zone[3:]}"
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', broken)}.{rest:09d}{zone}"


COMMAND = Command(
    run,
    "[OPTIONS]",
    """
    -f, --filter=filter      Filter output based on conditions provided
        --format=string      Format output: 'json' or a Go template
        --since=string       Show all events created since a time
        --until=string       Stream events until this time
    """,
    most=0,
)
