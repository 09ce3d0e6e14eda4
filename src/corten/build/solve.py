"""The builder: from a request to an image.

Parses, plans, and hands the plan to stages.py; prints what the classic builder prints around the steps.  Does not know
what a step is (steps/), nor how anything is stored (ports.py).
"""

from __future__ import annotations

from dataclasses import replace

from corten.build.args import Platforms, global_args, not_consumed
from corten.build.cachemounts import CacheMounts
from corten.build.context import EmptyDirectory, open_context
from corten.build.dockerfile.failures import DockerfileError
from corten.build.dockerfile.instructions import Instruction, Label, Pair, Source, Stage
from corten.build.dockerfile.parser import parse
from corten.build.dockerfile.readers import read_program
from corten.build.graph import StagePlan, plan
from corten.build.output import short
from corten.build.ports import Ports, Progress
from corten.build.request import BuildRequest, BuildResult
from corten.build.stages import Recipe, StageDone, StageRuns
from corten.build.watch import UNWATCHED, Watcher
from corten.errors import Invalid

EPOCH_ARGUMENT = "SOURCE_DATE_EPOCH"


class Builder:
    """Makes images.  ``caches`` knows which cache mounts are in use: one for the daemon, whatever the Builders."""

    def __init__(self, ports: Ports, platforms: Platforms, caches: CacheMounts | None = None) -> None:
        self._ports = ports
        self._platforms = platforms
        self._caches = caches or CacheMounts(ports.mounts)

    async def build(self, request: BuildRequest, progress: Progress, watcher: Watcher = UNWATCHED) -> BuildResult:
        """Build.  A failure's ``message`` is Docker's; its ``hint`` shows the lines of the Dockerfile."""
        try:
            return await self._build(_settled(request), progress, watcher)
        except DockerfileError as failure:
            failure.show_in(request.dockerfile, request.dockerfile_name)
            raise

    async def _build(self, request: BuildRequest, progress: Progress, watcher: Watcher) -> BuildResult:
        recipe = self.plan(request)
        for warning in recipe.warnings:
            progress.stream(f"[WARNING]: {warning}\n")
        if recipe.warnings:
            progress.stream("[WARNING]: Empty continuation lines will become errors in a future release.\n")
        empty = EmptyDirectory(self._ports.scratch)
        try:
            context = open_context(request.context, request.dockerfile_name, empty, apply_ignore=request.apply_ignore)
            with context.root:
                runs = StageRuns(recipe, request, self._ports, self._caches, context, empty, progress, watcher)
                _, total = recipe.step_numbers()
                for number, instruction in enumerate(recipe.program.meta_args, 1):
                    progress.stream(f"Step {number}/{total} : {instruction}\n")
                done = await runs.run()
        finally:
            empty.remove()
        return self._finish(request, recipe, done, progress)

    def plan(self, request: BuildRequest) -> Recipe:
        """Parse, and find what the target needs.  Nothing is fetched or run."""
        if not request.dockerfile.strip():
            raise Invalid(f"the Dockerfile ({request.dockerfile_name}) cannot be empty")
        dockerfile = parse(request.dockerfile)
        program = read_program(dockerfile)
        platforms = self._platforms
        if request.platform:
            platforms = replace(platforms, target=request.platform)
        scope = global_args(program, request.build_args, platforms, request.target)
        graph = plan(program, scope, request.target, request.named_contexts)
        if request.labels:
            stages = list(graph.stages)
            stages[graph.target] = _with_labels(stages[graph.target], request)
            graph = replace(graph, stages=tuple(stages))
        return Recipe(program, graph, scope, tuple(warning.message for warning in dockerfile.warnings))

    def _finish(self, request: BuildRequest, recipe: Recipe, done: StageDone, progress: Progress) -> BuildResult:
        state = done.state
        image_id = state.image_id
        if not image_id:
            # docker: FROM scratch alone makes no image
            raise Invalid("No image was generated. Is your Dockerfile empty?")
        warnings = list(recipe.warnings)
        if unused := not_consumed(request.build_args, recipe.program):
            warnings.append(f"[Warning] One or more build-args [{' '.join(unused)}] were not consumed")
            progress.stream(f"{warnings[-1]}\n")
        progress.aux({"ID": image_id})
        progress.stream(f"Successfully built {short(image_id)}\n")
        return BuildResult(image_id, state.image(), state.chain, state.diff_ids, tuple(warnings), done.base_layers)


def _settled(request: BuildRequest) -> BuildRequest:
    """SOURCE_DATE_EPOCH may come as a build argument."""
    given = request.build_args.get(EPOCH_ARGUMENT)
    if request.source_date_epoch is not None or not given:
        return request
    if not (given.isascii() and given.isdigit() and len(given) < 12):
        raise Invalid(f"invalid SOURCE_DATE_EPOCH: {given}")
    return replace(request, source_date_epoch=int(given))


def _with_labels(target: StagePlan, request: BuildRequest) -> StagePlan:
    """docker: each --label is a LABEL step at the end of the target."""
    at = target.stage.origin.source.location
    extra: list[Instruction] = []
    for name, value in sorted(request.labels.items()):
        source = Source("LABEL", f"LABEL {name}={value}", at)
        extra.append(Label(source, (Pair(name, value),), is_literal=True))
    return replace(target, stage=Stage(target.stage.origin, (*target.stage.instructions, *extra)))
