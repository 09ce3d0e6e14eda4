"""``corten network inspect``: all that is known of networks."""

from __future__ import annotations

from corten.cli import inspection
from corten.cli.command import Call, Command
from corten.client import paths


def run(call: Call) -> int:
    """Inspect each."""
    return inspection.show(
        call, lambda name: call.session.get(paths.network(name), {"verbose": call.options.on("verbose")})
    )


COMMAND = Command(
    run,
    "[OPTIONS] NETWORK [NETWORK...]",
    inspection.FLAGS
    + """
    -v, --verbose            Verbose output for diagnostics
    """,
    least=1,
)
