"""Hostile Dockerfiles and parts: everything that a client can send before a step runs ends in an answer."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from corten.build.args import Platforms, global_args
from corten.build.dockerfile.parser import parse
from corten.build.dockerfile.readers import read_program
from corten.build.graph import plan
from corten.build.lint.check import check
from corten.build.lower import lower_stage
from corten.engine.builds.luggage import Body, unload
from corten.engine.builds.travel import INDEX, _unpack
from corten.errors import CortenError, Invalid

WORDS = (
    "FROM busybox", "FROM ${A}", "FROM scratch AS x", "AS", "RUN", "COPY", "ADD", "ENV", "ARG", "LABEL", "SHELL",
    "ONBUILD", "HEALTHCHECK", "VOLUME", "USER", "WORKDIR", "EXPOSE", "STOPSIGNAL", "ENTRYPOINT", "CMD",
    "MAINTAINER", "--from=", "--chown=", "--mount=type=cache,target=", "--mount=type=bind,from=x", "--checksum=",
    "--parents", "--exclude=", "--interval=", "<<EOF", "<<-'EOF'", "EOF", "\n", "\n", "\n", " ", " ", "\t", "\\\n",
    "\\", "`", "# escape=`\n", "# syntax=x\n", "# check=skip=all\n", "$A", "${A:-", "${A%%", "${A/", "}", "$$",
    '"', "'", "[", "]", '["a"]', "=", "a=b", "A=1", "\x00", "\ufeff", "\xe9", "\r", "://", "..", "/", "0",
)  # fmt: skip


def whole_path(text: str) -> None:
    """All that happens to a Dockerfile before something is run."""
    check(text)
    program = read_program(parse(text))
    scope = global_args(program, {"A": "b"}, Platforms(), "")
    graph = plan(program, scope, "", {})
    for index in graph.needed:
        stage = graph.stages[index].stage
        lower_stage(
            stage, {}, scope, escape=program.escape, before=program.stages[:index], named={}, author="", inherited={}
        )


@given(st.lists(st.sampled_from(WORDS), max_size=40).map("".join))
@settings(max_examples=400, deadline=None)
@example("FROM busybox\nONBUILD ONBUILD RUN x")
@example("FROM busybox\nRUN <<A <<B <<C\nA\nB\n")
@example("FROM busybox\nENV A=${A:-${A:-${A:-" + "${A:-" * 200)
def test_made_of_words(text: str) -> None:
    with contextlib.suppress(CortenError):
        whole_path(text)


@given(st.text(max_size=300))
@settings(max_examples=200, deadline=None)
def test_made_of_anything(text: str) -> None:
    with contextlib.suppress(CortenError):
        whole_path("FROM busybox\n" + text)


def test_values_that_double_end_early() -> None:
    text = "FROM busybox\nENV A=0123456789\n" + "ENV A=$A$A\n" * 60
    with pytest.raises(CortenError):
        whole_path(text)
    with pytest.raises(CortenError):
        whole_path("ARG A=0123456789\n" + "ARG A=$A$A\n" * 60 + "FROM $A\n")


def test_long_lines_and_many_instructions() -> None:
    with pytest.raises(CortenError):
        whole_path("FROM busybox\nRUN " + "x" * (4 << 20) + "\n")
    whole_path("FROM busybox\n" + "RUN true\n" * 5000)


async def _bytes(data: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(data), 7):
        yield data[at : at + 7]


@given(st.lists(st.tuples(st.text(max_size=12), st.binary(max_size=30)), max_size=6))
@settings(max_examples=100, deadline=None)
def test_parts(tmp_path_factory: pytest.TempPathFactory, sent: list[tuple[str, bytes]]) -> None:
    async def parts() -> AsyncIterator[tuple[str, Body]]:
        for name, data in sent:
            yield name, _bytes(data)

    directory = tmp_path_factory.mktemp("parts")
    try:
        found = asyncio.run(unload(parts(), directory))
    except Invalid:
        return
    assert all(path.parent == directory for path in found.archives.values())


@given(st.dictionaries(st.text(max_size=8), st.recursive(st.none() | st.integers() | st.text(max_size=5), st.lists)))
@settings(max_examples=100, deadline=None)
def test_caches(tmp_path_factory: pytest.TempPathFactory, records: dict[str, object]) -> None:
    root = tmp_path_factory.mktemp("cache")
    scratch = root / "scratch"
    scratch.mkdir()
    data = json.dumps({"format": 1, "records": records, "mounts": ["../../x", "0" * 64, 7]}).encode()
    with tarfile.open(root / "c.tar", "w") as archive:
        for name in (INDEX, "../escape", "mounts/../../escape", "mounts/x.tar", f"mounts/{'0' * 64}.tar"):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    try:
        body = _unpack(root / "c.tar", scratch)
    except CortenError:
        assert records
    else:
        assert body["mounts"] == ["0" * 64]
    assert {path.name for path in scratch.iterdir()} <= {INDEX, f"{'0' * 64}.tar"}
    assert {path.name for path in root.iterdir()} == {"scratch", "c.tar"}


@given(st.binary(max_size=2000))
@settings(max_examples=60, deadline=None)
def test_caches_of_anything(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    root = tmp_path_factory.mktemp("cache")
    (root / "c.tar").write_bytes(data)
    (root / "scratch").mkdir()
    with pytest.raises(Invalid):
        _unpack(root / "c.tar", Path(root / "scratch"))
