"""Creating a container for ``create`` and ``run``: pull policy, id file, warnings.

Owns: the order of pull and create, and what is told on the way.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from corten.cli import reference
from corten.cli.command import Call
from corten.cli.containers import body as bodies
from corten.errors import Conflict, Invalid, NotFound


def create(call: Call, body: dict[str, Any]) -> str:
    """Create a container, pulling its image first where that is wanted or needed; its id."""
    options = call.options
    image = str(body["Image"])
    policy = options.text("pull")
    if policy not in ("always", "missing", "never", ""):
        raise Invalid(f'invalid pull option: \'{policy}\': must be one of "always", "missing" or "never"')
    id_file = options.text("cidfile")
    _refuse_existing(id_file)
    query = {"name": options.text("name"), "platform": options.text("platform")}
    if policy == "always":
        _pull(call, image)
    try:
        answer = call.session.post("/containers/create", query, body)
    except NotFound as error:
        if policy != "missing" or "o such image" not in error.message:
            raise
        print(f"Unable to find image '{reference.with_latest(image)}' locally", file=sys.stderr)
        _pull(call, image)
        answer = call.session.post("/containers/create", query, body)
    for warning in answer.get("Warnings") or ():
        print(f"WARNING: {warning}", file=sys.stderr)
    container = str(answer["Id"])
    if id_file:
        with open(id_file, "w", encoding="utf-8") as file:
            file.write(container)
    return container


def _pull(call: Call, image: str) -> None:
    from corten.cli import pull

    repository, tag = reference.repository_and_tag(reference.with_latest(image))
    options = call.options
    pull.pull(call, repository, tag, platform=options.text("platform"), quiet=options.on("quiet"), out=sys.stderr)


def _refuse_existing(id_file: str) -> None:
    if id_file and os.path.exists(id_file):
        raise Conflict(f"container ID file found, make sure the other container isn't running or delete {id_file}")


def body_of(call: Call) -> dict[str, Any]:
    """The body for a command line."""
    image, *command = call.arguments
    return bodies.build(call.options, image, command)
