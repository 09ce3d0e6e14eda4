"""docker-py's own integration tests of networks and volumes, from a checkout that CORTEN_DOCKER_PY names."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rig.daemon import Daemon

CHECKOUT = Path(os.environ.get("CORTEN_DOCKER_PY", "/nonexistent"))
FILES = ("api_network_test", "models_networks_test", "api_volume_test", "models_volumes_test")
PAGE = Path(__file__).parents[2] / "docs/testing.md"


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.skipif(not CHECKOUT.exists(), reason="CORTEN_DOCKER_PY names no checkout of docker-py")
def test_networks_and_volumes(own_daemon: Callable[..., Daemon], tmp_path: Path) -> None:
    daemon = own_daemon()
    for name in ("alpine:3.10", "alpine:latest"):
        daemon.docker("tag", "busybox", name)
    (tmp_path / "paramiko.py").write_text("")  # imported by the tests' helpers, used for ssh only
    left_out = re.findall(r"^\| `(test_\w+)` \|", PAGE.read_text(), re.MULTILINE)
    assert left_out
    result = daemon.run(
        "env", f"PYTHONPATH={tmp_path}:{CHECKOUT}", sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
        "--rootdir", str(CHECKOUT), "-c", str(CHECKOUT / "pytest.ini"), "--timeout=60",
        "-k", " and ".join(f"not {name}" for name in left_out),
        *(str(CHECKOUT / "tests/integration" / f"{name}.py") for name in FILES),
        check=False, timeout=360,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout[-6000:]
    assert " passed" in result.stdout
