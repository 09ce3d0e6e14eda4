"""Dockerfiles of every kind, built by ``corten build`` and run: tests/golden/builds/<case>/.

``case.toml`` has the flags of the build, the command that is run in the image (the image's own where there is none)
and what of its configuration is shown after that; ``expected`` is all the output.  Cases marked ``net`` need Debian's
mirror and PyPI; they run where CORTEN_TEST_NET is set.
"""

from __future__ import annotations

import functools
import hashlib
import http.server
import os
import shutil
import subprocess
import tarfile
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from rig.daemon import BIN, Daemon

CASES = Path(__file__).parents[1] / "golden" / "builds"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """The test's output is not the place."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A file, an archive and a git repository behind HTTP."""
    root = tmp_path_factory.mktemp("served")
    (root / "plain.txt").write_text("served\n")
    inner = root / "in"
    inner.mkdir()
    (inner / "file").write_text("archived\n")
    with tarfile.open(root / "remote.tar.gz", "w:gz") as archive:
        archive.add(inner, "in")
    make_repository(root / "work", root / "repository.git")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(root)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    checksum = hashlib.sha256(b"served\n").hexdigest()
    yield {"url": f"http://127.0.0.1:{server.server_port}", "plain_sum": checksum}
    server.shutdown()
    server.server_close()


def make_repository(work: Path, bare: Path) -> None:
    def git(*words: str) -> None:
        environment = os.environ | {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
        identity = ("-c", "user.name=t", "-c", "user.email=t@t")
        subprocess.run(["git", *identity, *words], cwd=work, check=True, capture_output=True, env=environment)

    work.mkdir()
    git("init", "-q", "-b", "main")
    for tag, text in (("v1", "version one\n"), ("v2", "version two\n")):
        (work / "README").write_text(text)
        git("add", "README")
        git("commit", "-qm", tag)
        git("tag", tag)
    git("clone", "-q", "--bare", str(work), str(bare))
    git("--git-dir", str(bare), "update-server-info")


def build(daemon: Daemon, case: Path, values: dict[str, str], tag: str, *more: str) -> None:
    settings = tomllib.loads((case / "case.toml").read_text())
    flags = [word.format(case=case, **values) for word in settings.get("flags", [])]
    made = subprocess.run(
        [str(BIN / "corten"), "build", "-t", tag, *flags, *more, str(case / "context")],
        env=daemon.environment | {"GOLDEN_TOKEN": "swordfish"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert made.returncode == 0, made.stderr


def output(daemon: Daemon, case: Path, tag: str) -> str:
    settings = tomllib.loads((case / "case.toml").read_text())
    command = ["sh", "-c", settings["run"]] if settings.get("run") else []
    shown = "" if settings.get("inspect") and not command and not runs(case) else run(daemon, tag, *command)
    if template := settings.get("inspect"):
        shown += daemon.docker("inspect", "-f", template, tag).stdout
    return shown


def runs(case: Path) -> bool:
    """The image's own command says something."""
    return case.name in ("shell", "entrypoint")


def run(daemon: Daemon, tag: str, *command: str) -> str:
    return daemon.docker("run", "--rm", tag, *command).stdout


def names() -> list[str]:
    return sorted(path.name for path in CASES.iterdir() if (path / "case.toml").exists())


@pytest.mark.parametrize("name", names())
def test_golden(daemon: Daemon, served: dict[str, str], name: str) -> None:
    case = CASES / name
    if tomllib.loads((case / "case.toml").read_text()).get("net"):
        if not os.environ.get("CORTEN_TEST_NET"):
            pytest.skip("needs Debian's mirror and PyPI: set CORTEN_TEST_NET")
        daemon.corten("image", "bootstrap", "debian:bookworm")
    tag = f"golden-{name}"
    build(daemon, case, served, tag)
    try:
        assert output(daemon, case, tag) == (case / "expected").read_text()
    finally:
        daemon.docker("rmi", "-f", tag)


# Nothing of a build depends on when and where it is made, once times are fixed.
REPRODUCIBLE = ("multi_stage", "copy_flags", "links", "squash", "volume_user")


def test_the_same_digests_on_two_data_roots(
    daemon: Daemon, own_daemon: object, served: dict[str, str], tmp_path: Path
) -> None:
    assert callable(own_daemon)
    other: Daemon = own_daemon()
    for name in REPRODUCIBLE:
        case, again = CASES / name, tmp_path / name
        shutil.copytree(case, again, copy_function=shutil.copyfile)  # other times, other inodes
        for each, where in ((daemon, case), (other, again)):
            build(each, where, served, "same", "--no-cache", "--build-arg", "SOURCE_DATE_EPOCH=1700000000")
        ids = [
            each.docker("image", "inspect", "-f", "{{.Id}} {{.RootFS.Layers}}", "same").stdout
            for each in (daemon, other)
        ]
        assert ids[0] == ids[1], name
    daemon.docker("rmi", "-f", "same")
