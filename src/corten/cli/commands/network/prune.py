"""``corten network prune``: remove networks without containers."""

from __future__ import annotations

from corten.cli import confirm, prunes, values
from corten.cli.command import Call, Command


def run(call: Call) -> None:
    """Ask, remove, tell how much was freed."""
    options = call.options
    confirm.proceed(call, "WARNING! This will remove all custom networks not used by at least one container.")
    prunes.networks(call.session, values.filters(options.many("filter")))


COMMAND = Command(
    run,
    "[OPTIONS]",
    """
        --filter=filter      Provide filter values
    -f, --force              Do not prompt for confirmation
    """,
    most=0,
)
