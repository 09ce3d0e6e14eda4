"""``corten image bootstrap``: a base image without a registry."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from corten.cli import reference
from corten.cli.command import Call, Command
from corten.cli.commands.image import import_
from corten.errors import Invalid


def run(call: Call) -> None:
    """Make the file system and import it under the name."""
    wanted = call.arguments[0]
    repository, _, _ = reference.split(wanted)
    body, command = _source(repository, wanted)
    name = call.options.text("tag") or reference.with_latest(wanted)
    import_.create(
        call.session, "-", body, name, changes=[f"CMD {command}"], message=f"Made by corten image bootstrap {wanted}"
    )
    print(f"Successfully tagged {reference.with_latest(name)}", file=sys.stderr)


def _source(repository: str, wanted: str) -> tuple[Iterator[bytes], str]:
    if repository == "busybox":
        from corten.cli.bootstrap import busybox

        return busybox.stream(busybox.find()), busybox.COMMAND
    if repository == "debian":
        from corten.cli.bootstrap import debian

        return _begun(debian.stream(debian.parse_name(wanted))), debian.COMMAND
    raise Invalid(f"cannot make {wanted!r}: what can be made is debian:SUITE and busybox")


def _begun(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Wait for the first piece, so that a maker that cannot begin fails before the daemon is asked for anything."""
    first = next(pieces, b"")

    def rest() -> Iterator[bytes]:
        yield first
        yield from pieces

    return rest()


COMMAND = Command(
    run,
    "[OPTIONS] debian:SUITE|busybox",
    """
    -t, --tag=string         Name the image differently
    """,
    least=1,
    most=1,
)
