"""``corten stop``: ask containers to end, and end them after a while."""

from __future__ import annotations

from corten.cli.command import Call, Command
from corten.client import paths


def run(call: Call) -> int:
    """Stop each."""
    return call.for_each(lambda name: call.session.post(paths.container(name, "/stop"), stop_query(call)))


def stop_query(call: Call) -> dict[str, object]:
    """Signal and patience, which stop and restart share."""
    seconds = call.options.number("timeout") if call.options.given("timeout") else None
    return {"signal": call.options.text("signal"), "t": seconds}


COMMAND = Command(
    run,
    "[OPTIONS] CONTAINER [CONTAINER...]",
    """
    -s, --signal=string      Signal to send to the container
    -t, --timeout=int        Seconds to wait before killing the container
    """,
    least=1,
)
