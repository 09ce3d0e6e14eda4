"""``corten wait``: block until containers end, then print their exit statuses."""

from __future__ import annotations

from corten.cli.command import Call, Command, Exit
from corten.client import paths


def run(call: Call) -> int:
    """Wait for each in turn."""
    return call.for_each(lambda name: _wait(call, name), show=False)


def _wait(call: Call, name: str) -> None:
    answer = call.session.post(paths.container(name, "/wait"))
    problem = (answer.get("Error") or {}).get("Message")
    if problem:
        raise Exit(1, str(problem))
    print(answer["StatusCode"], flush=True)


COMMAND = Command(run, "CONTAINER [CONTAINER...]", least=1)
