"""``corten rm``: remove containers."""

from __future__ import annotations

from corten.cli.command import Call, Command
from corten.client import paths
from corten.errors import Invalid


def run(call: Call) -> int:
    """Remove each."""
    return call.for_each(lambda name: _remove(call, name), forgives=call.options.on("force"))


def _remove(call: Call, name: str) -> None:
    plain = name.strip("/")
    if not plain:
        raise Invalid("Container name cannot be empty")
    options = call.options
    query = {"force": options.on("force"), "v": options.on("volumes"), "link": options.on("link")}
    call.session.delete(paths.container(plain), query)


COMMAND = Command(
    run,
    "[OPTIONS] CONTAINER [CONTAINER...]",
    """
    -f, --force              Force the removal of a running container (uses SIGKILL)
    -l, --link               Remove the specified link
    -v, --volumes            Remove anonymous volumes associated with the container
    """,
    least=1,
)
