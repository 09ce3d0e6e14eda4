"""The state that steps pass on, how it becomes an image, and what a step has at hand.

Read next: run.py, copy.py, config.py for the steps, source.py for where a stage starts; ../solve.py drives them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from corten.build.cachemounts import CacheMounts
from corten.build.context import SourceTree
from corten.build.graph import Origin, Vertex
from corten.build.ports import BaseImage, Ports, Progress
from corten.build.request import BuildRequest

Stack = ExitStack | AsyncExitStack
"""Holds what a step has opened."""

NOP = "/bin/sh -c #(nop) "
"""How the history marks what was no command."""


@dataclass(frozen=True, slots=True)
class State:
    """An image in the making: its layers and the configuration so far.  ``image_id`` is "" for scratch."""

    image_id: str = ""
    chain: str | None = None
    diff_ids: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    history: tuple[Mapping[str, Any], ...] = ()
    platform: Mapping[str, Any] = field(default_factory=dict)
    author: str = ""

    @classmethod
    def of(cls, base: BaseImage) -> State:
        names = ("architecture", "os", "variant", "os.version", "os.features")
        return cls(
            base.id,
            base.chain,
            base.diff_ids,
            base.config.get("config") or {},
            tuple(base.config.get("history") or ()),
            {name: base.config[name] for name in names if base.config.get(name)},
            str(base.config.get("author") or ""),
        )

    def with_layer(self, layer: Layer | None) -> State:
        if layer is None:
            return self
        return replace(self, chain=layer.chain, diff_ids=(*self.diff_ids, layer.diff_id))

    def after(self, vertex: Vertex, comment: str, created: str, layer: Layer | None) -> State:
        """The state once ``vertex`` has made ``layer``; its image id is not known yet."""
        entry: dict[str, Any] = {"created": created, "created_by": comment}
        if vertex.author:
            entry["author"] = vertex.author
        if layer is None:
            entry["empty_layer"] = True
        return replace(
            self.with_layer(layer),
            config=vertex.config,
            history=(*self.history, entry),
            author=vertex.author or self.author,
        )

    def image(self) -> dict[str, Any]:
        """The image configuration, as Docker and OCI define it."""
        document: dict[str, Any] = {
            **self.platform,
            "config": {name: value for name, value in self.config.items() if value not in (None, "", [], {})},
            "created": self.history[-1]["created"] if self.history else None,
            "history": list(self.history),
            "rootfs": {"type": "layers", "diff_ids": list(self.diff_ids)},
        }
        if self.author:
            document["author"] = self.author
        if document["created"] is None:
            del document["created"]
        return document

    def image_bytes(self) -> bytes:
        return json.dumps(self.image(), separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer and the chain that it makes."""

    diff_id: str
    chain: str
    size: int = 0


@dataclass(frozen=True, slots=True)
class Inputs:
    """What decides the outcome of a step beside the state it starts from.

    ``parts`` are named, so that a miss can be explained.  ``comment`` is the history's ``created_by``.  ``makes_layer``
    tells whether the step may change files at all.  ``is_told_by_comment``: the comment names everything that counts.
    ``prepared`` is what the step found out for its own use.
    """

    parts: Mapping[str, str]
    comment: str
    makes_layer: bool
    prepared: Any = None
    is_told_by_comment: bool = True


class Kitchen(Protocol):
    """What a step may ask of the build it belongs to (solve.py)."""

    @property
    def request(self) -> BuildRequest: ...
    @property
    def ports(self) -> Ports: ...
    @property
    def context(self) -> SourceTree: ...
    @property
    def caches(self) -> CacheMounts: ...

    async def state_of(self, origin: Origin, out: Progress) -> State:
        """The finished stage, or the image, that files are taken from."""

    async def tree_of(self, origin: Origin, stack: Stack, out: Progress) -> SourceTree:
        """Its files; open until ``stack`` is closed."""


class Step(Protocol):
    """One kind of operation: name what it depends on, then do it on the active snapshot ``key``.

    What ``stack`` holds stays open until the step is over.  ``is_needed`` may say that nothing is to be done after all.
    """

    async def inputs(self, kitchen: Kitchen, state: State, vertex: Vertex, stack: Stack, out: Progress) -> Inputs: ...
    async def is_needed(self, kitchen: Kitchen, state: State, vertex: Vertex) -> bool: ...
    async def perform(
        self, kitchen: Kitchen, key: str, vertex: Vertex, inputs: Inputs, stack: Stack, out: Progress
    ) -> None: ...
