"""``corten image inspect``: all that is known of images."""

from __future__ import annotations

from corten.cli import inspection, platforms
from corten.cli.command import Call, Command
from corten.client import paths


def run(call: Call) -> int:
    """Inspect each."""
    query = {"platform": platforms.parameter(call.options.text("platform"))}
    return inspection.show(call, lambda name: call.session.get(paths.image(name, "/json"), query))


COMMAND = Command(
    run,
    "[OPTIONS] IMAGE [IMAGE...]",
    inspection.FLAGS
    + """
        --platform=string    Inspect this platform of a multi-platform image (os[/arch[/variant]])
    """,
    least=1,
)
