"""``corten builder prune``: remove build cache."""

from __future__ import annotations

from corten.cli import confirm, prunes, values
from corten.cli.command import Call, Command
from corten.cli.output import sizes


def run(call: Call) -> None:
    """Ask, remove, tell how much was freed."""
    options = call.options
    every = options.on("all")
    confirm.proceed(call, f"WARNING! This will remove all {'' if every else 'dangling '}build cache.")
    keep = options.size("keep-storage")
    filters = values.filters(options.many("filter"))
    print(f"Total:\t{sizes.human(prunes.build_cache(call.session, filters, every=every, keep=keep), 4)}")


COMMAND = Command(
    run,
    "[OPTIONS]",
    """
    -a, --all                Remove all unused build cache, not just dangling ones
        --filter=filter      Provide filter values
    -f, --force              Do not prompt for confirmation
        --keep-storage=bytes  Amount of disk space to keep for cache
    """,
    most=0,
)
