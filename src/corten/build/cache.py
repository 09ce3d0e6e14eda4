"""Cache keys and records.

Two keys for each step.  The *exact* one names the parent image and the step: it gives the very same image again.  The
*layer* one names only the files the step starts from and what it does: a changed LABEL above a RUN gives another image
with the same layer.  Contents of files are part of a key, their times are not.  A third record, by the step's place
in the Dockerfile, keeps the parts of the last key, so that a miss can be explained.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from corten.build.ports import Cache, ImageSink, Snapshots
from corten.build.steps.base import Inputs, Layer, State
from corten.spec.digest import Digest

FORMAT = "1"
"""Part of every key: raised when what a step does changes, so that old records are not found."""


def key_of(kind: str, parts: Mapping[str, str]) -> str:
    text = json.dumps([FORMAT, kind, sorted(parts.items())], ensure_ascii=True)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Hit:
    """What the cache knows.  ``image_id`` is "" where only the layer is known; ``why`` is for people."""

    created: str
    layer: Layer | None
    image_id: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class CacheImage:
    """An image that ``--cache-from`` names: its history tells what made each of its layers."""

    diff_ids: tuple[str, ...]
    history: tuple[Mapping[str, Any], ...]

    def lookup(self, state: State, inputs: Inputs) -> Hit | None:
        """The next layer, where everything up to here was made in the same way."""
        steps, layers = len(state.history), len(state.diff_ids)
        made = [entry.get("created_by") for entry in self.history[: steps + 1]]
        if made != [*(entry.get("created_by") for entry in state.history), inputs.comment]:
            return None
        if self.diff_ids[:layers] != state.diff_ids:
            return None
        entry = self.history[steps]
        if entry.get("empty_layer"):
            return Hit(str(entry.get("created", "")), None)
        if layers >= len(self.diff_ids):
            return None
        diff_id = self.diff_ids[layers]
        return Hit(str(entry.get("created", "")), Layer(diff_id, chain_after(state.chain, diff_id)))


def chain_after(parent: str | None, diff_id: str) -> str:
    """OCI's chain id, one layer up."""
    return diff_id if parent is None else str(Digest.of(f"{parent} {diff_id}".encode()))


class StepCache:
    """One build's view of the cache."""

    def __init__(
        self,
        cache: Cache,
        sink: ImageSink,
        snapshots: Snapshots,
        *,
        enabled: bool,
        images: Sequence[CacheImage] = (),
    ) -> None:
        self._cache = cache
        self._sink = sink
        self._snapshots = snapshots
        self._enabled = enabled
        self._images = images

    @staticmethod
    def exact_key(state: State, inputs: Inputs) -> str:
        return key_of("image", {**inputs.parts, "parent image": state.image_id, "history": inputs.comment})

    @staticmethod
    def layer_key(state: State, inputs: Inputs) -> str:
        return key_of("layer", {**inputs.parts, "parent layers": state.chain or ""})

    def lookup(self, state: State, inputs: Inputs) -> Hit | None:
        if not self._enabled:
            return None
        record = self._cache.lookup(self.exact_key(state, inputs))
        if record and self._sink.exists(record["image"]):
            return Hit(record["created"], _layer(record), record["image"], "the same step on the same image")
        if inputs.makes_layer:
            record = self._cache.lookup(self.layer_key(state, inputs))
            if record is not None and self._is_here(layer := _layer(record)):
                return Hit(record["created"], layer, why="the same step on the same files; settings above it changed")
        for image in self._images if inputs.is_told_by_comment else ():
            hit = image.lookup(state, inputs)
            if hit is not None and self._is_here(hit.layer):
                return replace(hit, why="an image of --cache-from was made by the same steps")
        return None

    def _is_here(self, layer: Layer | None) -> bool:
        return layer is None or self._snapshots.exists(layer.chain)

    def store(self, state: State, inputs: Inputs, image_id: str, created: str, layer: Layer | None) -> None:
        record: dict[str, Any] = {"image": image_id, "created": created}
        if layer is not None:
            record |= {"diff_id": layer.diff_id, "chain": layer.chain, "size": layer.size}
        self._cache.store(self.exact_key(state, inputs), record)
        if inputs.makes_layer:
            self._cache.store(self.layer_key(state, inputs), record)

    def explain(self, place: str, state: State, inputs: Inputs) -> str:
        """Why the step at this place was a miss, in words."""
        if not self._enabled:
            return "the cache is switched off for this step"
        before = self._cache.lookup(key_of("place", {"place": place}))
        if before is None:
            return "this step has not been built before"
        now = _parts(state, inputs)
        changed = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
        if not changed:
            return "its result is no longer stored"
        return "changed: " + "; ".join(_change(name, before.get(name), now.get(name)) for name in changed)

    def remember(self, place: str, state: State, inputs: Inputs) -> None:
        self._cache.store(key_of("place", {"place": place}), _parts(state, inputs))


def _parts(state: State, inputs: Inputs) -> dict[str, str]:
    return {**inputs.parts, "parent layers": state.chain or ""}


def _change(name: str, before: str | None, now: str | None) -> str:
    if before is None or now is None or max(len(before), len(now)) > 80 or "\n" in before + now:
        return name
    return f"{name} ({before} -> {now})"


def _layer(record: Mapping[str, Any]) -> Layer | None:
    if "chain" not in record:
        return None
    return Layer(record["diff_id"], record["chain"], int(record.get("size", 0)))
