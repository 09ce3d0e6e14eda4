"""Container records become OCI specs: golden files, one for each case; ``UPDATE_GOLDEN=1`` writes them anew.

The specs were read against what dockerd hands to runc for the same flags; tests/integration and e2e run them.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from corten.engine.containers import mounts, options
from corten.engine.containers.lower import Surroundings, exec_process, lower
from corten.engine.containers.model import Container

GOLDEN = Path(__file__).parents[2] / "golden" / "lower"
CASES = sorted(path.name for path in GOLDEN.iterdir() if path.is_dir())


def record(request: dict[str, Any]) -> Container:
    config = options.read_config(request, {"Env": ["PATH=/bin"], "Cmd": ["sh"]})
    host = options.read_host_config(request.get("HostConfig", {}), options.Defaults())
    points = mounts.collect(config, host, lambda _: [])
    return Container("ab" * 32, "name", 0.0, "sha256:x", "busybox", config, host, mounts=points)


@pytest.mark.parametrize("case", CASES)
def test_golden(case: str) -> None:
    request = json.loads((GOLDEN / case / "request.json").read_text())
    world = request.pop("World", {})
    made = record(request)
    sources = {point.destination: point.source or f"/vol/{point.name}" for point in made.mounts}
    surroundings = Surroundings(
        joined=world.get("joined", {}), sources=sources, etc_dir=Path("/bundle"), hostname="abababababab"
    )
    spec = lower(made, surroundings)
    path = GOLDEN / case / "spec.json"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(json.dumps(spec, indent=1, sort_keys=True) + "\n")
    assert spec == json.loads(path.read_text())


def test_an_exec_is_as_the_container_but_for_what_is_given() -> None:
    made = record({"Env": ["A=1", "B=2"], "User": "u", "WorkingDir": "/w"})
    process = exec_process(made, ["x"], env=["A=3"], tty=True)
    assert process["user"]["username"] == "u" and process["cwd"] == "/w" and process["terminal"]
    assert {"A=3", "B=2", "TERM=xterm"} <= set(process["env"]) and "A=1" not in process["env"]
    assert "CAP_SYS_ADMIN" in exec_process(made, ["x"], privileged=True)["capabilities"]["bounding"]
