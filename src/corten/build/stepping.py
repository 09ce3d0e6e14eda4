"""Taking one step: depends on what?  in the cache?  else snapshot, perform, commit, image.

The words are the classic builder's.  A step without changes leaves no layer.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import ExitStack
from dataclasses import replace

from corten.build import upper
from corten.build.cache import Hit, StepCache, chain_after
from corten.build.clock import now
from corten.build.failures import StepFailed
from corten.build.graph import ConfigOp, CopyOp, Op, RunOp, Vertex, WorkdirOp
from corten.build.output import StepOutput, short
from corten.build.ports import Progress
from corten.build.steps.base import Inputs, Kitchen, Layer, State, Step
from corten.build.steps.config import ConfigStep, WorkdirStep
from corten.build.steps.copy import CopyStep
from corten.build.steps.run import RunStep

STEPS: dict[type[Op], Step] = {ConfigOp: ConfigStep(), WorkdirOp: WorkdirStep(), RunOp: RunStep(), CopyOp: CopyStep()}


async def take_step(
    kitchen: Kitchen, vertex: Vertex, place: str, state: State, cache: StepCache, out: StepOutput
) -> State:
    """The state after ``vertex``.  ``place`` names the step from build to build, to explain misses."""
    step = STEPS[type(vertex.op)]
    with ExitStack() as stack:
        inputs = _dated(await step.inputs(kitchen, state, vertex, stack, out), kitchen.request.source_date_epoch)
        hit = cache.lookup(state, inputs)
        if hit is not None:
            out.cached()
            if kitchen.request.explain:
                out.explain(f"Cache hit: {hit.why}")
            return _replayed(kitchen, vertex, state, inputs, cache, hit)
        if kitchen.request.explain:
            out.explain(f"Cache miss: {cache.explain(place, state, inputs)}")
        container = _announce(out) if isinstance(vertex.op, ConfigOp | WorkdirOp) else ""
        layer: Layer | None = None
        if await step.is_needed(kitchen, state, vertex):
            layer = await _make_layer(kitchen, step, vertex, state, inputs, stack, out)
    created = now(kitchen.request.source_date_epoch)
    after = _saved(kitchen, state.after(vertex, inputs.comment, created, layer), state)
    cache.store(state, inputs, after.image_id, created, layer)
    cache.remember(place, state, inputs)
    if container and kitchen.request.remove:
        out.stream(f" ---> Removed intermediate container {container}\n")
    return after


def _dated(inputs: Inputs, epoch: int | None) -> Inputs:
    """A fixed time shows in the files and the history: what was made without it is something else."""
    if epoch is None:
        return inputs
    return replace(inputs, parts={**inputs.parts, "source date epoch": str(epoch)})


def _announce(out: Progress) -> str:
    """docker: each of these steps had a container of its own, and still says so."""
    container = short(os.urandom(32).hex())
    out.stream(f" ---> Running in {container}\n")
    return container


def _replayed(kitchen: Kitchen, vertex: Vertex, state: State, inputs: Inputs, cache: StepCache, hit: Hit) -> State:
    after = state.after(vertex, inputs.comment, hit.created, hit.layer)
    if hit.image_id:
        return replace(after, image_id=hit.image_id)
    # The layer is known, the image is not: something above changed the configuration only.
    after = _saved(kitchen, after, state)
    cache.store(state, inputs, after.image_id, hit.created, hit.layer)
    return after


def _saved(kitchen: Kitchen, after: State, before: State) -> State:
    return replace(after, image_id=kitchen.ports.sink.save(after.image_bytes(), before.image_id or None))


async def _make_layer(
    kitchen: Kitchen, step: Step, vertex: Vertex, state: State, inputs: Inputs, stack: ExitStack, out: Progress
) -> Layer | None:
    snapshots, key = kitchen.ports.snapshots, f"build-{os.urandom(16).hex()}"
    # Volatile: a build that the machine's fall interrupts is built again; only committed layers have to last.
    snapshots.prepare(key, state.chain, volatile=True)
    kept = False
    try:
        await step.perform(kitchen, key, vertex, inputs, stack, out)
        epoch = kitchen.request.source_date_epoch
        if epoch is not None:
            await asyncio.to_thread(upper.clamp_times, snapshots.upper(key), epoch)
        diff = await kitchen.ports.layers.diff(key)
        if diff.empty:
            return None
        layer = Layer(diff.diff_id, chain_after(state.chain, diff.diff_id), diff.size)
        snapshots.commit(key, layer.chain)
        kept = True
        return layer
    except StepFailed as failure:
        failure.before, failure.image = state.chain, state.image_id
        if kitchen.request.keep_failed:
            failure.snapshot, kept = key, True
        raise
    finally:
        if not kept:
            snapshots.remove(key)
