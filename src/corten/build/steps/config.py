"""Steps that change the configuration only, and WORKDIR, which makes its directory where it lacks."""

from __future__ import annotations

import asyncio
import os

from corten.build.graph import Vertex, WorkdirOp
from corten.build.ports import Progress
from corten.build.steps.base import NOP, Inputs, Kitchen, Stack, State
from corten.errors import Invalid
from corten.kernel.paths import Root


class ConfigStep:
    """ENV, LABEL, CMD and the like."""

    async def inputs(self, kitchen: Kitchen, state: State, vertex: Vertex, stack: Stack, out: Progress) -> Inputs:
        return Inputs({"instruction": vertex.comment}, f"{NOP} {vertex.comment}", False)

    async def is_needed(self, kitchen: Kitchen, state: State, vertex: Vertex) -> bool:
        return False

    async def perform(
        self, kitchen: Kitchen, key: str, vertex: Vertex, inputs: Inputs, stack: Stack, out: Progress
    ) -> None:
        raise AssertionError("a configuration step changes no files")


class WorkdirStep(ConfigStep):
    """WORKDIR.  The directory belongs to root, whatever USER says (docker)."""

    async def inputs(self, kitchen: Kitchen, state: State, vertex: Vertex, stack: Stack, out: Progress) -> Inputs:
        return Inputs({"instruction": vertex.comment}, f"{NOP} {vertex.comment}", True)

    async def is_needed(self, kitchen: Kitchen, state: State, vertex: Vertex) -> bool:
        path = _path(vertex)
        if path == "/":
            return False
        if state.chain is None:
            return True
        return not await asyncio.to_thread(_is_directory, kitchen, state.chain, path)

    async def perform(
        self, kitchen: Kitchen, key: str, vertex: Vertex, inputs: Inputs, stack: Stack, out: Progress
    ) -> None:
        await asyncio.to_thread(_make, kitchen, key, _path(vertex))


def _path(vertex: Vertex) -> str:
    assert isinstance(vertex.op, WorkdirOp)
    return vertex.op.path


def _is_directory(kitchen: Kitchen, chain: str, path: str) -> bool:
    with kitchen.ports.trees.open(kitchen.ports.snapshots.mounts(chain)) as fd:
        try:
            os.close(Root(fd).open(path, os.O_RDONLY | os.O_DIRECTORY))
        except OSError:
            return False
        return True


def _make(kitchen: Kitchen, key: str, path: str) -> None:
    with kitchen.ports.trees.open(kitchen.ports.snapshots.mounts(key)) as fd:
        try:
            os.close(Root(fd).mkdirs(path, uid=0, gid=0))
        except NotADirectoryError:
            raise Invalid(f"cannot mkdir: {path} is not a directory") from None
