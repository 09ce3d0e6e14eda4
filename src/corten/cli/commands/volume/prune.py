"""``corten volume prune``: remove volumes without containers."""

from __future__ import annotations

from corten.cli import confirm, prunes, values
from corten.cli.command import Call, Command


def run(call: Call) -> None:
    """Ask, remove, tell how much was freed."""
    options = call.options
    every = options.on("all")
    which = "all local" if every else "anonymous local"
    confirm.proceed(call, f"WARNING! This will remove {which} volumes not used by at least one container.")
    prunes.total(prunes.volumes(call.session, values.filters(options.many("filter")), every=every))


COMMAND = Command(
    run,
    "[OPTIONS]",
    """
    -a, --all                Remove all unused volumes, not just anonymous ones
        --filter=filter      Provide filter values
    -f, --force              Do not prompt for confirmation
    """,
    most=0,
)
