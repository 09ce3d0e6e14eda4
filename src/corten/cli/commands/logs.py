"""``corten logs``: what a container has written."""

from __future__ import annotations

from corten.cli import streams, times
from corten.cli.command import Call, Command
from corten.client import paths


def run(call: Call) -> None:
    """Print the logs of one, and follow them if asked."""
    options = call.options
    name = call.arguments[0]
    found = call.session.get(paths.container(name, "/json"))
    query = {
        "stdout": True,
        "stderr": True,
        "follow": options.on("follow"),
        "details": options.on("details"),
        "timestamps": options.on("timestamps"),
        "since": times.parameter(options.text("since")),
        "until": times.parameter(options.text("until")),
        "tail": options.text("tail"),
    }
    response = call.session.request("GET", paths.container(found["Id"], "/logs"), query)
    streams.copy_output(response.pieces(), tty=bool(found["Config"]["Tty"]))


COMMAND = Command(
    run,
    "[OPTIONS] CONTAINER",
    """
        --details            Show extra details provided to logs
    -f, --follow             Follow log output
        --since=string       Show logs since a time (e.g. "2013-01-02T13:23:37Z") or so long ago (e.g. "42m")
    -n, --tail=string(all)   Number of lines to show from the end of the logs
    -t, --timestamps         Show timestamps
        --until=string       Show logs before a time (e.g. "2013-01-02T13:23:37Z") or so long ago (e.g. "42m")
    """,
    least=1,
    most=1,
)
