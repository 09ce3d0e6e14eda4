"""Getting an image from its registry, with credentials and progress; shared by pull, run and create."""

from __future__ import annotations

import sys
from typing import TextIO

from corten.cli.command import Call
from corten.cli.output import progress
from corten.client import credentials


def pull(
    call: Call, image: str, tag: str, *, platform: str = "", quiet: bool = False, out: TextIO | None = None
) -> None:
    """Pull an image; raises what the daemon says of it."""
    server = credentials.registry_of(image)
    known = credentials.lookup(call.config, server)
    query = {"fromImage": image, "tag": tag, "platform": platform}
    response = call.session.request("POST", "/images/create", query, b"", {"X-Registry-Auth": known.header()})
    progress.follow(response.objects(), None if quiet else out or sys.stdout)
