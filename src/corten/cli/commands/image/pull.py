"""``corten pull``: download an image from a registry."""

from __future__ import annotations

from corten.cli import pull, reference
from corten.cli.command import Call, Command
from corten.errors import Invalid


def run(call: Call) -> None:
    """Pull one name, or all tags of a repository."""
    options = call.options
    name = call.arguments[0]
    reference.check(name)
    repository, tag, digest = reference.split(name)
    quiet = options.on("quiet")
    if options.on("all-tags"):
        if tag or digest:
            raise Invalid("tag can't be used with --all-tags/-a")
    elif not tag and not digest:
        tag = "latest"
        if not quiet:
            print(f"Using default tag: {tag}")
    wanted = f"{tag}@{digest}" if tag and digest else digest or tag
    pull.pull(call, repository, digest or tag, platform=options.text("platform"), quiet=quiet)
    if not options.on("all-tags"):
        mark = "@" if digest else ":"
        print(f"{reference.with_registry(repository)}{':' + wanted if tag else mark + wanted}")


COMMAND = Command(
    run,
    "[OPTIONS] NAME[:TAG|@DIGEST]",
    """
    -a, --all-tags                          Download all tagged images in the repository
        --disable-content-trust=bool(true)  Skip image verification
        --platform=string                   Platform of the image, where there are several
    -q, --quiet                             Suppress verbose output
    """,
    least=1,
    most=1,
)
