"""The runtime's integration tests under cgroup v2, inside a virtual machine (this machine's groups are v1)."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest

specification = importlib.util.spec_from_file_location("vm_machine", Path(__file__).with_name("machine.py"))
assert specification and specification.loader
machine = importlib.util.module_from_spec(specification)
# dataclasses look their module up while it is being executed
__import__("sys").modules["vm_machine"] = machine
specification.loader.exec_module(machine)

TESTS = ("tests/integration/runtime", "tests/integration/supervisor")
# Slow under emulation, and about streams and daemons rather than control groups: seen to by the same tests outside.
LEFT_OUT = (
    "many_execs_at_once",
    "nothing_is_leaked_by_fifty_containers",
    "slow_client_loses_nothing",
)


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.timeout(1700)
def test_the_runtime_under_cgroup_v2(tmp_path: Path) -> None:
    if not shutil.which("qemu-system-x86_64") or machine.kernel() is None:
        pytest.skip("no qemu or no cloud kernel: make packages installs both")
    present = [path for path in TESTS if (machine.ROOT / path).is_dir()]
    left_out = "'not (" + " or ".join(LEFT_OUT) + ")'"  # the command is one line for a shell
    command = machine.python_command("-m", "pytest", "-q", "-x", "--timeout=200", "-k", left_out, *present)
    outcome = None
    # Under software emulation the whole machine sometimes stands still; only then, not after a failed test, once more.
    for attempt in ("first", "second"):
        outcome = machine.run(tmp_path / attempt, f"env CORTEN_IN_VM=1 {command}", timeout=800)
        shutil.rmtree(tmp_path / attempt)
        if outcome.status is not None:
            break
    assert outcome is not None
    assert outcome.status == 0, outcome.output[-6000:]
    assert " passed" in outcome.output, outcome.output[-3000:]
