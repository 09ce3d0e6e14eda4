"""The state that a failed step left, kept as an image without a name: what ``corten build --debug`` opens a shell in.

Owns: making it.  The client removes it when it has seen enough; ``image prune`` takes it too.
"""

from __future__ import annotations

import json
from typing import Any

from corten.build.cache import chain_after
from corten.build.failures import StepFailed
from corten.engine.builds.ports import BuiltImages, StepLayers
from corten.engine.images.ground import ImageGround
from corten.spec.digest import Digest


async def keep(ground: ImageGround, failure: StepFailed) -> dict[str, Any]:
    """The images before and after the step ("" where there is none), and how its process was started."""
    after = failure.image
    if failure.snapshot is not None and failure.image:
        after = await _after(ground, failure, failure.snapshot)
    elif failure.snapshot is not None:
        ground.snapshots.remove(failure.snapshot)  # on scratch there is no shell to look around with
    return {
        "before": failure.image,
        "after": after,
        "command": failure.command,
        "env": list(failure.env),
        "cwd": failure.cwd,
        "user": failure.user,
    }


async def _after(ground: ImageGround, failure: StepFailed, key: str) -> str:
    layer = await StepLayers(ground.snapshots, ground.workers).diff(key)
    if layer.empty:
        ground.snapshots.remove(key)
        return failure.image
    ground.snapshots.commit(key, chain_after(failure.before, layer.diff_id))
    config: dict[str, Any] = json.loads(ground.images.get(Digest.parse(failure.image)).config.to_bytes())
    config["rootfs"]["diff_ids"].append(layer.diff_id)
    config.setdefault("history", []).append({"created_by": f"FAILED: {failure.command}"})
    return BuiltImages(ground).save(json.dumps(config, separators=(",", ":")).encode(), failure.image)
