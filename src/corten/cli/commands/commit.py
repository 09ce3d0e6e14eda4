"""``corten commit``: an image from a container's changes."""

from __future__ import annotations

from corten.cli import reference
from corten.cli.command import Call, Command


def run(call: Call) -> None:
    """Commit one and print the image's id."""
    options = call.options
    container, *named = call.arguments
    repository, tag = reference.repository_and_tag(named[0]) if named else ("", "")
    query = {
        "container": container,
        "repo": repository,
        "tag": tag,
        "comment": options.text("message"),
        "author": options.text("author"),
        "changes": options.many("change"),
        "pause": "1" if options.on("pause") else "0",
    }
    print(call.session.post("/commit", query)["Id"])


COMMAND = Command(
    run,
    "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
    """
    -a, --author=string      Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")
    -c, --change=list        Apply Dockerfile instruction to the created image
    -m, --message=string     Commit message
    -p, --pause=bool(true)   Pause container during commit
    """,
    least=1,
    most=2,
)
