"""--squash: the layers that a build added become one.

Owns: merging the directories of layers as overlayfs would show them, whiteouts and opaque directories included.  The
image that was built stays as it is; the squashed one is another beside it, as in Docker.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from corten.build.cache import chain_after
from corten.build.request import BuildResult
from corten.build.tree import DetachedTrees
from corten.engine.builds.ports import BuiltImages, StepLayers
from corten.engine.images.ground import ImageGround
from corten.kernel.paths import Root
from corten.spec.digest import Digest
from corten.spec.image import chain_ids
from corten.store.layers.merge import drop_whiteouts, merge


async def squash(ground: ImageGround, result: BuildResult) -> str:
    """The id of the image with one layer above its base."""
    diff_ids = [Digest.parse(each) for each in result.diff_ids]
    if len(diff_ids) - result.base_layers < 2:
        return result.image_id
    chains = [str(chain) for chain in chain_ids(diff_ids)]
    base = chains[result.base_layers - 1] if result.base_layers else None
    key = f"build-{os.urandom(16).hex()}"
    ground.snapshots.prepare(key, base, volatile=True)
    is_kept = False
    try:
        upper = ground.snapshots.upper(key)
        layers = [ground.snapshots.upper(each) for each in chains[result.base_layers :]]
        await asyncio.to_thread(_merge_all, ground, layers, upper, base)
        layer = await StepLayers(ground.snapshots, ground.workers).diff(key)
        if layer.empty:
            return _save(ground, result, [])
        ground.snapshots.commit(key, chain_after(base, layer.diff_id))
        is_kept = True
        return _save(ground, result, [layer.diff_id])
    finally:
        if not is_kept:
            ground.snapshots.remove(key)


def _merge_all(ground: ImageGround, layers: list[Path], target: Path, base: str | None) -> None:
    for layer in layers:
        merge(layer, target)
    if base is None:
        drop_whiteouts(target, lambda _: False)
        return
    with DetachedTrees().open(ground.snapshots.mounts(base)) as fd, Root(os.dup(fd)) as root:
        drop_whiteouts(target, lambda path: root.exists(path, follow=False))


def _save(ground: ImageGround, result: BuildResult, added: list[str]) -> str:
    config: dict[str, Any] = json.loads(json.dumps(result.config))
    config["rootfs"]["diff_ids"] = [*result.diff_ids[: result.base_layers], *added]
    config["history"] = list(_history(config["history"], result))
    if added:
        config["history"].append({"created": config["created"], "comment": f"merge {result.image_id}"})
    data = json.dumps(config, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()
    return BuiltImages(ground).save(data, None)


def _history(entries: list[dict[str, Any]], result: BuildResult) -> Iterator[dict[str, Any]]:
    """Steps above the base made no layer any more."""
    layers = 0
    for entry in entries:
        if not entry.get("empty_layer"):
            layers += 1
            if layers > result.base_layers:
                entry = {**entry, "empty_layer": True}
        yield entry
