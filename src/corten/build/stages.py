"""Running the stages of one build: who waits for whom, and the steps of a stage in their order.

``StageRuns`` is also the Kitchen that steps ask for states, trees and ports.  One step is in stepping.py.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from corten.build.args import GlobalArgs
from corten.build.cache import CacheImage, StepCache
from corten.build.cachemounts import CacheMounts
from corten.build.context import EmptyDirectory, SourceTree
from corten.build.dockerfile.failures import DockerfileError, Location, excerpt
from corten.build.dockerfile.instructions import Copy, Program, Run, Workdir
from corten.build.failures import StepFailed
from corten.build.graph import ConfigOp, Graph, Origin, StagePlan, Vertex
from corten.build.ground import with_path
from corten.build.lower import LoweredStage, lower_stage
from corten.build.output import Outputs, StageOutput, StepOutput, short
from corten.build.ports import Ports, Progress
from corten.build.request import BuildRequest
from corten.build.stepping import take_step
from corten.build.steps.base import Stack, State
from corten.build.steps.source import open_state
from corten.build.watch import UNWATCHED, UNWATCHED_STEP, WatchedStep, Watcher
from corten.errors import CortenError, Invalid
from corten.kernel.paths import Root

IMAGE_PREFIX = "docker-image://"


@dataclass(frozen=True, slots=True)
class Recipe:
    """A planned build: what solve.py hands over."""

    program: Program
    graph: Graph
    scope: GlobalArgs
    warnings: tuple[str, ...] = ()

    def step_numbers(self) -> tuple[dict[int, int], int]:
        """The number of each needed stage's FROM, and the total, as the classic builder counts."""
        numbers: dict[int, int] = {}
        next_number = len(self.program.meta_args) + 1
        for index in self.graph.needed:
            numbers[index] = next_number
            next_number += 1 + len(self.graph.stages[index].stage.instructions)
        return numbers, next_number - 1


@dataclass(frozen=True, slots=True)
class StageDone:
    """A finished stage; ``args`` are inherited by stages that start from it."""

    state: State
    args: Mapping[str, str | None] = field(default_factory=dict)
    base_layers: int = 0


@dataclass(slots=True)
class Place:
    """Where a stage is, for the names of its steps: "[builder 2/5] RUN make"."""

    prefix: str
    total: int
    has_base: bool
    taken: int = 0

    def take(self, text: str) -> str:
        self.taken += 1
        if self.has_base and self.taken == 1 and not text.startswith("FROM "):
            self.taken = 2  # the base was another build's to resolve
        return f"[{self.prefix}{self.taken}/{self.total}] {text}"

    def trigger(self, text: str) -> str:
        return f"[{self.prefix}onbuild] {text}"


class StageRuns:
    """One build's stages."""

    def __init__(
        self,
        recipe: Recipe,
        request: BuildRequest,
        ports: Ports,
        caches: CacheMounts,
        context: SourceTree,
        empty: EmptyDirectory,
        progress: Progress,
        watcher: Watcher = UNWATCHED,
    ) -> None:
        self.request = request
        self.ports = ports
        self.context = context
        self.caches = caches
        self._recipe = recipe
        self._graph = recipe.graph
        self._empty = empty
        self._progress = progress
        self._watcher = watcher
        self._outputs = Outputs(progress, recipe.graph.needed)
        self._numbers, self._total = recipe.step_numbers()
        self._tasks: dict[int, asyncio.Task[StageDone]] = {}
        self._images: dict[tuple[str, str | None], asyncio.Task[State]] = {}
        self._cache_images: list[CacheImage] = []
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> StageDone:
        """Every needed stage; the target.  The first failure stops the rest."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                self._cache_images = await self._cache_from()
                for index in self._graph.needed:
                    self._start(index)
        except BaseExceptionGroup as failures:
            raise _first(failures) from None
        return self._tasks[self._graph.target].result()

    def _start(self, index: int) -> asyncio.Task[StageDone]:
        assert self._group is not None
        if index not in self._tasks:
            self._tasks[index] = self._group.create_task(self._stage(self._graph.stages[index]))
        return self._tasks[index]

    # -- what steps ask for --------------------------------------------------------------------------------------

    async def state_of(self, origin: Origin, out: Progress) -> State:
        """A stage once it is done, or an image."""
        if origin.stage is not None:
            task = self._start(origin.stage)
            await asyncio.wait([task])
            return task.result().state
        if origin.named:
            named = self.request.named_contexts[origin.named]
            if isinstance(named, Path):
                raise Invalid(f"the build context {origin.named} is a directory, not an image")
            return await self._image(named.removeprefix(IMAGE_PREFIX), None, out)
        return await self._image(origin.image, None, out)

    async def tree_of(self, origin: Origin, stack: Stack, out: Progress) -> SourceTree:
        """The files that an origin names."""
        if origin.is_context:
            return self.context
        named = self.request.named_contexts.get(origin.named) if origin.named else None
        if isinstance(named, Path):
            return SourceTree(stack.enter_context(Root.at(named)))
        state = await self.state_of(origin, out)
        return open_state(self.ports, state, stack, self._empty.path)

    async def _image(self, name: str, platform: str | None, out: Progress) -> State:
        """Resolved once a build, whoever asks first."""
        key = (name, platform)
        if key not in self._images:
            assert self._group is not None
            self._images[key] = self._group.create_task(self._resolve(name, platform, out))
        task = self._images[key]
        await asyncio.wait([task])
        return task.result()

    async def _resolve(self, name: str, platform: str | None, out: Progress) -> State:
        wanted = platform or self.request.platform
        return State.of(await self.ports.images.resolve(name, wanted, pull=self.request.pull, progress=out))

    # -- a stage -------------------------------------------------------------------------------------------------

    async def _stage(self, plan: StagePlan) -> StageDone:
        out = self._outputs[plan.index]
        try:
            done = await self._steps(plan, out)
        except CortenError:
            out.go_live()  # what a failing stage had to say must not be lost
            raise
        self._outputs.finish(plan.index)
        return done

    async def _steps(self, plan: StagePlan, out: StageOutput) -> StageDone:
        number = self._numbers.get(plan.index, 0)
        at = plan.stage.origin.source
        out.stream(f"Step {number}/{self._total} : {at.code}\n")
        try:
            base = await self._base(plan, out)
        except CortenError as failure:
            raise self._shown(failure, at.location) from None
        lowered = self._lower(plan, base)
        state = base.state
        triggers = [vertex for vertex in lowered.vertices if vertex.is_trigger]
        if triggers:
            out.stream(f"# Executing {len(triggers)} build trigger{'s' if len(triggers) > 1 else ''}\n")
        else:
            out.stream(f" ---> {short(state.image_id)}\n")
        cache = self._cache(plan)
        place = self._place(plan)
        for vertex in lowered.vertices:
            if not vertex.is_trigger:
                number += 1
                out.stream(f"Step {number}/{self._total} : {vertex.text}\n")
            watched = self._watch(place, vertex)
            state = await self._one(plan, vertex, state, cache, StepOutput(out, watched), watched)
            if not vertex.is_trigger or vertex is triggers[-1]:
                out.stream(f" ---> {short(state.image_id)}\n")
        return StageDone(state, lowered.args, len(base.state.diff_ids))

    async def _base(self, plan: StagePlan, out: StageOutput) -> StageDone:
        if plan.base.stage is not None:
            task = self._start(plan.base.stage)
            await asyncio.wait([task])
            return task.result()
        if plan.is_scratch:
            os_name, arch, variant, *_ = [*(plan.platform or self._platform()).split("/"), "", ""]
            platform = {"os": os_name, "architecture": arch} | ({"variant": variant} if variant else {})
            return StageDone(State(platform=platform))
        if plan.base.named:
            return StageDone(await self.state_of(plan.base, out))
        return StageDone(await self._from(plan, out))

    async def _from(self, plan: StagePlan, out: StageOutput) -> State:
        watched = self._watcher.begin(self._place(plan).take(f"FROM {plan.base.image}"))
        with _told(watched):
            state = await self._image(plan.base.image, plan.platform or None, StepOutput(out, watched))
            watched.cached()
            return state

    def _place(self, plan: StagePlan) -> Place:
        name = plan.name or f"stage-{plan.index}"
        shown = sum(isinstance(each, Run | Copy | Workdir) for each in plan.stage.instructions)
        has_base = bool(plan.base.image) and not plan.is_scratch
        return Place("" if len(self._graph.needed) == 1 else f"{name} ", shown + has_base, has_base)

    def _watch(self, place: Place, vertex: Vertex) -> WatchedStep:
        """BuildKit shows no step that changes the configuration only."""
        if isinstance(vertex.op, ConfigOp):
            return UNWATCHED_STEP
        return self._watcher.begin(place.trigger(vertex.text) if vertex.is_trigger else place.take(vertex.text))

    def _platform(self) -> str:
        return self._recipe.scope.predefined["TARGETPLATFORM"]

    def _lower(self, plan: StagePlan, base: StageDone) -> LoweredStage:
        program = self._recipe.program
        return lower_stage(
            plan.stage,
            with_path(base.state.config),
            self._recipe.scope,
            escape=program.escape,
            before=program.stages[: plan.index],
            named=self.request.named_contexts,
            author=base.state.author,
            inherited=base.args,
        )

    def _cache(self, plan: StagePlan) -> StepCache:
        skipped = {name.lower() for name in self.request.no_cache_filter}
        enabled = not self.request.no_cache and plan.name not in skipped and str(plan.index) not in skipped
        ports = self.ports
        return StepCache(ports.cache, ports.sink, ports.snapshots, enabled=enabled, images=self._cache_images)

    async def _cache_from(self) -> list[CacheImage]:
        """The images of --cache-from that can be had; docker: the others do not matter."""
        found: list[CacheImage] = []
        for name in self.request.cache_from if not self.request.no_cache else ():
            with contextlib.suppress(CortenError):
                image = State.of(
                    await self.ports.images.resolve(name, self.request.platform, pull=False, progress=self._progress)
                )
                found.append(CacheImage(image.diff_ids, image.history))
        return found

    async def _one(
        self, plan: StagePlan, vertex: Vertex, state: State, cache: StepCache, out: StepOutput, watched: WatchedStep
    ) -> State:
        try:
            with _told(watched):
                return await take_step(self, vertex, f"{plan.name or plan.index} {vertex.text}", state, cache, out)
        except CortenError as failure:
            raise self._shown(failure, vertex.location) from None

    def _shown(self, failure: CortenError, at: Location) -> CortenError:
        """Failures of a step show its lines."""
        if not failure.hint and not isinstance(failure, DockerfileError):
            failure.hint = excerpt(self.request.dockerfile, at, self.request.dockerfile_name)
        return failure


@contextlib.contextmanager
def _told(watched: WatchedStep) -> Iterator[None]:
    """The end of a step is told, however it ends."""
    try:
        yield
    except CortenError as failure:
        watched.done(failure.process_message if isinstance(failure, StepFailed) else failure.message)
        raise
    watched.done()


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """The failure that stopped the others."""
    first = failures.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
