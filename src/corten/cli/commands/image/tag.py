"""``corten tag``: another name for an image."""

from __future__ import annotations

from corten.cli import reference
from corten.cli.command import Call, Command
from corten.client import paths
from corten.errors import Invalid


def run(call: Call) -> None:
    """Tag one."""
    source, target = call.arguments
    repository, tag, digest = reference.split(target)
    if digest:
        raise Invalid("refusing to create a tag with a digest reference")
    call.session.post(paths.image(source, "/tag"), {"repo": repository, "tag": tag or "latest"})


COMMAND = Command(run, "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]", least=2, most=2)
