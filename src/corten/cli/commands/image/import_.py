"""``corten import``: a file system archive as an image."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, BinaryIO

from corten.cli import files, reference
from corten.cli.command import Call, Command
from corten.cli.output import progress
from corten.errors import NotFound

if TYPE_CHECKING:
    from corten.client.session import Body, Session


def run(call: Call) -> None:
    """Send the archive, or the address from which the daemon gets it."""
    options = call.options
    source, *named = call.arguments
    changes, message, platform = options.many("change"), options.text("message"), options.text("platform")
    name = named[0] if named else ""
    if source.startswith(("http://", "https://")):
        create(call.session, source, b"", name, changes=changes, message=message, platform=platform)
    elif source == "-":
        _send(call, sys.stdin.buffer, name)
    else:
        try:
            with open(source, "rb") as archive:
                _send(call, archive, name)
        except FileNotFoundError as error:
            raise NotFound(f"open {source}: no such file or directory") from error


def _send(call: Call, archive: BinaryIO, name: str) -> None:
    options = call.options
    create(
        call.session,
        "-",
        files.read_blocks(archive),
        name,
        changes=options.many("change"),
        message=options.text("message"),
        platform=options.text("platform"),
    )


def create(
    session: Session,
    source: str,
    body: Body,
    name: str,
    *,
    changes: Sequence[str] = (),
    message: str = "",
    platform: str = "",
) -> None:
    """The request itself, which bootstrap sends too."""
    repository, tag = reference.repository_and_tag(name) if name else ("", "")
    query = {
        "fromSrc": source,
        "repo": repository,
        "tag": tag,
        "message": message,
        "changes": list(changes),
        "platform": platform,
    }
    response = session.request("POST", "/images/create", query, body, {"Content-Type": "application/x-tar"})
    progress.follow(response.objects(), sys.stdout)


COMMAND = Command(
    run,
    "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
    """
    -c, --change=list        Apply Dockerfile instruction to the created image
    -m, --message=string     Set commit message for imported image
        --platform=string    Platform that the image is for
    """,
    least=1,
    most=2,
)
