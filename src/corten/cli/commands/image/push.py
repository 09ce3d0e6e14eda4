"""``corten push``: upload an image to a registry."""

from __future__ import annotations

import sys
from typing import Any

from corten.cli import platforms, reference
from corten.cli.command import Call, Command
from corten.cli.output import progress
from corten.client import credentials, paths
from corten.errors import Invalid


def run(call: Call) -> None:
    """Push one name, or all tags of a repository."""
    options = call.options
    name = call.arguments[0]
    reference.check(name)
    repository, tag, digest = reference.split(name)
    if digest:
        raise Invalid("cannot push a digest reference")
    quiet = options.on("quiet")
    if options.on("all-tags"):
        if tag:
            raise Invalid("tag can't be used with --all-tags/-a")
    elif not tag:
        tag = "latest"
        if not quiet:
            print(f"Using default tag: {tag}")
    query = {"tag": tag, "platform": platforms.parameter(options.text("platform"))}
    known = credentials.lookup(call.config, credentials.registry_of(repository))
    sys.stdout.flush()
    response = call.session.request(
        "POST", paths.image(repository, "/push"), query, b"", {"X-Registry-Auth": known.header()}
    )
    notes: list[str] = []
    try:
        progress.follow(
            response.objects(), None if quiet else sys.stdout, lambda message: notes.append(note(message["aux"]))
        )
    finally:
        if not quiet:
            sys.stderr.write("".join(f"\n{text}\n" for text in notes if text))
    if quiet:
        print(f"{reference.with_registry(repository)}{':' + tag if tag else ''}")


def note(aux: Any) -> str:
    """What people should know of a push of several platforms."""
    if not isinstance(aux, dict):
        return ""
    if aux.get("manifestPushedInsteadOfIndex"):
        index, chosen = aux.get("originalIndex") or {}, aux.get("selectedManifest") or {}
        return (
            "Not everything of the multi-platform image is here: only the image of one platform was pushed.\n"
            f"{index.get('digest')} -> {chosen.get('digest')}"
        )
    if aux.get("contentMissing"):
        return (
            "The name stands for a multi-platform image, of which some parts are neither here nor in the repository.\n"
            "Pull the missing ones (corten pull --platform), or push one only with --platform."
        )
    return ""


COMMAND = Command(
    run,
    "[OPTIONS] NAME[:TAG]",
    """
    -a, --all-tags                          Push all tags of an image to the repository
        --disable-content-trust=bool(true)  Skip image signing
        --platform=string                   Push a platform-specific manifest as a single-platform image
    -q, --quiet                             Suppress verbose output
    """,
    least=1,
    most=1,
)
