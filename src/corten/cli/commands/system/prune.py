"""``corten system prune``: remove all that nothing uses."""

from __future__ import annotations

from corten.cli import confirm, prunes, values
from corten.cli.command import Call, Command
from corten.errors import Invalid


def run(call: Call) -> None:
    """Ask, remove, tell how much was freed."""
    options = call.options
    every, with_volumes = options.on("all"), options.on("volumes")
    filters = values.filters(options.many("filter"))
    if with_volumes and "until" in filters:
        raise Invalid('ERROR: The "until" filter is not supported with "--volumes"')
    _ask(call, every=every, with_volumes=with_volumes)
    session = call.session
    freed = prunes.containers(session, filters)
    freed += prunes.networks(session, filters)
    if with_volumes:
        freed += prunes.volumes(session, filters)
    freed += prunes.images(session, filters, every=every)
    freed += prunes.build_cache(session, filters, every=every)
    prunes.total(freed)


def _ask(call: Call, *, every: bool, with_volumes: bool) -> None:
    takes = ["all stopped containers", "all networks not used by at least one container"]
    if with_volumes:
        takes.append("all anonymous volumes not used by at least one container")
    takes.append("all images without at least one container associated to them" if every else "all dangling images")
    takes.append("all build cache" if every else "unused build cache")
    lines = ["WARNING! This will remove:", *(f"  - {what}" for what in takes)]
    if words := call.options.many("filter"):
        lines += ["", "  Items to be pruned will be filtered with:", *(f"  - {word}" for word in words)]
    confirm.proceed(call, "\n".join([*lines, ""]))


COMMAND = Command(
    run,
    "[OPTIONS]",
    """
    -a, --all                Remove all unused images, not just dangling ones
        --filter=filter      Provide filter values
    -f, --force              Do not prompt for confirmation
        --volumes            Prune anonymous volumes
    """,
    most=0,
)
