"""``corten manifest`` beside ``docker manifest``: the same words, the same files, the same digests."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rig.daemon import Daemon
from rig.registry import Registry


@pytest.fixture(scope="module")
def images(daemon: Daemon, registry: Registry) -> Iterator[str]:
    """A repository with one image for each of three platforms."""
    name = f"{registry.address}/manifests/parts"
    for architecture in ("amd64", "arm64", "s390x"):
        text = f"FROM scratch\nLABEL for={architecture}\nWORKDIR /{architecture}\n"
        tag = f"{name}:{architecture}"
        daemon.docker("build", "-q", "--platform", f"linux/{architecture}", "-t", tag, "-", stdin=text)
        daemon.docker("push", "-q", tag)
        daemon.docker("rmi", "-f", tag)
    yield name


@pytest.fixture
def both(daemon: Daemon, tmp_path: Path) -> Callable[..., tuple[str, str]]:
    """Runs a command of either client with a configuration of its own; what both said."""

    def run(*words: str) -> tuple[str, str]:
        said = []
        for program in ("docker", str(Path(daemon.command()[0]).parent / "corten")):
            folder = tmp_path / Path(program).name
            folder.mkdir(exist_ok=True)
            done = subprocess.run(
                [program, "manifest", *words], env=daemon.environment | {"DOCKER_CONFIG": str(folder)},
                capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL,
            )  # fmt: skip
            said.append(f"{done.returncode}\n{done.stdout}{done.stderr}")
        return said[0], said[1]

    return run


def test_a_list_is_made_annotated_shown_and_pushed(
    both: Callable[..., tuple[str, str]], images: str, registry: Registry, tmp_path: Path
) -> None:
    name, arm = f"{registry.address}/manifests/list:1", f"{images}:arm64"
    for words in (
        ("create", "--insecure", name, f"{images}:amd64", arm),
        ("create", "--insecure", name, f"{images}:amd64"),
        ("create", "--insecure", "--amend", name, f"{images}:s390x"),
        ("annotate", name, arm, "--variant", "v8", "--os-features", "a,b", "--os-version", "1.2"),
        ("annotate", name, arm, "--arch", "nonsense"),
        ("annotate", name, f"{images}:none", "--arch", "arm"),
        ("inspect", name),
        ("inspect", "-v", name),
        ("inspect", name, arm),
    ):
        docker, corten = both(*words)
        assert docker == corten, words
    files = {
        who: {path.relative_to(tmp_path / who): path.read_text() for path in (tmp_path / who).rglob("*arm64")}
        for who in ("docker", "corten")
    }
    assert files["docker"].keys() == files["corten"].keys() and files["docker"]
    for words in (
        ("push", "--insecure", name),
        ("push", "--insecure", "--purge", name),
        ("inspect", "--insecure", name),
        ("inspect", "--insecure", "-v", name),
        ("create", "--insecure", f"{name}-more", name),
        ("rm", name),
        ("rm", "one", "two"),
        ("push", "--insecure", name),
    ):
        docker, corten = both(*words)
        assert docker == corten, words


def test_what_a_registry_has(both: Callable[..., tuple[str, str]], images: str, registry: Registry) -> None:
    for words in (
        ("inspect", "--insecure", f"{images}:amd64"),
        ("inspect", "--insecure", "-v", f"{images}:amd64"),
        ("inspect", "--insecure", f"{registry.address}/manifests/none:1"),
    ):
        docker, corten = both(*words)
        assert docker == corten, words


def test_a_list_begun_by_docker_is_pushed_by_corten(daemon: Daemon, images: str, registry: Registry) -> None:
    name = f"{registry.address}/manifests/shared:1"
    daemon.docker("manifest", "create", "--insecure", name, f"{images}:amd64", f"{images}:s390x")
    pushed = daemon.corten("manifest", "push", "--purge", name).stdout.splitlines()
    assert len(pushed) == 3 and pushed[-1].startswith("sha256:")
    assert not (daemon.config / "manifests").exists() or not list((daemon.config / "manifests").iterdir())
    shutil.rmtree(daemon.config / "manifests", ignore_errors=True)
    daemon.docker("pull", "-q", "--platform", "linux/s390x", name)
    daemon.docker("rmi", "-f", name)


def test_images_of_another_registry_are_refused(daemon: Daemon, images: str) -> None:
    daemon.corten("manifest", "create", "localhost:1/other/list:1", f"{images}:amd64")
    refused = daemon.corten("manifest", "push", "localhost:1/other/list:1", check=False)
    assert refused.returncode == 1
    assert "cannot use source images from a different registry than the target image" in refused.stderr
    daemon.corten("manifest", "rm", "localhost:1/other/list:1")
