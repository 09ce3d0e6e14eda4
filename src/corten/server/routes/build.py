"""Handlers of the classic builder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from corten.api import progress
from corten.engine.builds.options import BuildFailed, BuildOptions
from corten.errors import CortenError, Invalid, NotImplementedYet
from corten.server import lines, query
from corten.server.request import Handler, engine, filters, flag, number, reply, since

# The query's name of a limit and the name that containers have for it.
_LIMITS = {
    "memory": "Memory",
    "memswap": "MemorySwap",
    "cpushares": "CpuShares",
    "cpuperiod": "CpuPeriod",
    "cpuquota": "CpuQuota",
}
_SETS = {"cpusetcpus": "CpusetCpus", "cpusetmems": "CpusetMems"}


async def build_start(request: web.Request) -> web.StreamResponse:
    """POST /build"""
    options = _options(request)
    builds = engine(request).builds
    body = lines.chunks(request) if request.can_read_body else None

    async def job(pipe: lines.Pipe) -> None:
        reporter = _Reporter(pipe, wants_aux=since(request, 30), quiet=options.quiet)
        try:
            image = await builds.build(options, body, reporter)
        except BuildFailed as failure:
            reporter.flush()
            pipe.write(progress.error(failure.message, failure.status))
            return
        except CortenError:
            reporter.flush()
            raise
        if options.quiet:
            pipe.write(progress.stream(f"{image}\n"))

    return await lines.answer(request, job)


class _Reporter:
    """A build's progress as JSON lines; a quiet build keeps them for the case that it fails."""

    def __init__(self, pipe: lines.Pipe, *, wants_aux: bool, quiet: bool) -> None:
        self._kept: list[bytes] = []
        self._pipe = pipe
        self._write = self._kept.append if quiet else pipe.write
        self._wants_aux = wants_aux
        self._bars = progress.ProgressLines(self._write)

    def stream(self, text: str) -> None:
        self._write(progress.stream(text))

    def log(self, text: str) -> None:
        self.stream(text)

    def status(self, id: str, status: str, current: int | None = None, total: int | None = None) -> None:
        if id:
            self._bars.update(id, status, current, total)
        else:
            self._bars.message(status)

    def aux(self, value: Mapping[str, Any]) -> None:
        if self._wants_aux:
            self._write(progress.aux(dict(value)))

    def flush(self) -> None:
        """Show what a quiet build kept back."""
        for line in self._kept:
            self._pipe.write(line)
        self._kept.clear()


def _options(request: web.Request) -> BuildOptions:
    asked = request.query
    _refuse(request)
    force_remove = flag(request, "forcerm")
    resources: dict[str, Any] = {name: value for key, name in _LIMITS.items() if (value := number(request, key))}
    resources |= {name: text for key, name in _SETS.items() if (text := asked.get(key, ""))}
    credentials = query.header(request, "X-Registry-Config")
    return BuildOptions(
        build_id=asked.get("buildid", ""),
        dockerfile=asked.get("dockerfile", "") or "Dockerfile",
        remote=asked.get("remote", ""),
        tags=tuple(asked.getall("t", [])),
        build_args=query.optional_texts(request, "buildargs", "error reading build args"),
        labels=query.texts(request, "labels", "error reading labels"),
        cache_from=query.listed(request, "cachefrom", "error reading cache-from"),
        no_cache=flag(request, "nocache"),
        pull=flag(request, "pull"),
        remove=force_remove or asked.get("rm", "") == "" or flag(request, "rm"),
        force_remove=force_remove,
        quiet=flag(request, "q"),
        squash=flag(request, "squash"),
        target=asked.get("target", ""),
        platform=asked.get("platform", "") if since(request, 32) else "",
        network=asked.get("networkmode", ""),
        extra_hosts=tuple(asked.getall("extrahosts", [])),
        shm_size=number(request, "shmsize") or 0,
        resources=resources,
        ulimits=query.listed(request, "ulimits", "error reading ulimit settings"),
        cgroup_parent=asked.get("cgroupparent", ""),
        credentials={name: value for name, value in credentials.items() if isinstance(value, Mapping)},
    )


def _refuse(request: web.Request) -> None:
    """Refuse what the classic builder cannot do, before the context is read."""
    builder = request.query.get("version", "")
    if builder == "2":
        raise NotImplementedYet(
            "BuildKit is not served by this engine: use the classic builder (DOCKER_BUILDKIT=0 docker build …)"
        )
    if builder not in ("", "1"):
        raise Invalid(f'invalid version "{builder}"')
    if request.query.getall("securityopt", []):
        raise Invalid("security options are not supported on linux")
    if (isolation := request.query.get("isolation", "")) not in ("", "default"):
        raise Invalid(f'unsupported isolation: "{isolation}"')
    if query.listed(request, "outputs", "invalid outputs specified"):
        raise NotImplementedYet("build outputs need BuildKit, which is not served by this engine")


async def build_prune(request: web.Request) -> web.Response:
    """POST /build/prune"""
    if since(request, 48):
        keep = number(request, "reserved-space") or number(request, "keep-storage") or 0
        ceiling, floor = number(request, "max-used-space") or 0, number(request, "min-free-space") or 0
    else:
        keep, ceiling, floor = number(request, "keep-storage") or 0, 0, 0
    gone, reclaimed = engine(request).builds.prune(
        filters(request), all=flag(request, "all"), keep=keep, ceiling=ceiling, floor=floor
    )
    return reply({"CachesDeleted": gone or None, "SpaceReclaimed": reclaimed})


async def build_cancel(request: web.Request) -> web.Response:
    """POST /build/cancel"""
    build_id = request.query.get("id", "")
    if not build_id:
        raise Invalid("build ID not provided")
    engine(request).builds.cancel(build_id)
    return web.Response()


HANDLERS: dict[str, Handler] = {
    "build_start": build_start,
    "build_prune": build_prune,
    "build_cancel": build_cancel,
}
