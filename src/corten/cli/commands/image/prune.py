"""``corten image prune``: remove unused images."""

from __future__ import annotations

from corten.cli import confirm, prunes, values
from corten.cli.command import Call, Command


def run(call: Call) -> None:
    """Ask, remove, tell how much was freed."""
    options = call.options
    every = options.on("all")
    which = "images without at least one container associated to them" if every else "dangling images"
    confirm.proceed(call, f"WARNING! This will remove all {which}.")
    prunes.total(prunes.images(call.session, values.filters(options.many("filter")), every=every))


COMMAND = Command(
    run,
    "[OPTIONS]",
    """
    -a, --all                Remove all unused images, not just dangling ones
        --filter=filter      Provide filter values
    -f, --force              Do not prompt for confirmation
    """,
    most=0,
)
