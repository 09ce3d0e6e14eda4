"""One build as POST /build asks for it: what was sent, the builder, what is done with the result.

Owns: the order, and what beside Docker's parameters a client may ask (docs/builds.md): a check instead of a build, the
state of a failed step, squashing, caches to and from elsewhere.  For the service read service.py.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from corten.api import steps
from corten.build.args import Platforms
from corten.build.failures import StepFailed
from corten.build.ports import Progress
from corten.build.request import BuildResult
from corten.build.watch import Watcher
from corten.engine.builds import checks, kept, squash
from corten.engine.builds.contexts import Context, Contexts
from corten.engine.builds.luggage import Body, Luggage, Parts, SentSecrets, unload
from corten.engine.builds.options import BuildFailed, BuildOptions
from corten.engine.builds.ports import keys_of
from corten.engine.builds.remotes import fetch
from corten.engine.builds.travel import Ledger, Travels
from corten.engine.builds.visit import Visit
from corten.engine.images.ground import ImageGround
from corten.engine.images.push import Pusher
from corten.errors import CortenError, Invalid, NotImplementedYet
from corten.spec.digest import Digest
from corten.spec.platform import host, parse_all
from corten.spec.reference import Reference

IMAGE, PART = "docker-image://", "part:"


@dataclass(frozen=True, slots=True)
class Sent:
    """The body of the request: the tar of the context alone, or parts."""

    body: Body | None = None
    parts: Parts | None = None


@dataclass(slots=True)
class Trip:
    """What a build used and made, for caches that travel."""

    ledger: Ledger = field(default_factory=Ledger)
    began: float = field(default_factory=time.time)


class Client(Protocol):
    """Who asked: hears progress, and ``tell`` gets what only some clients understand (api/steps.py)."""

    @property
    def progress(self) -> Progress: ...
    @property
    def watcher(self) -> Watcher: ...
    def tell(self, kind: str, body: Mapping[str, Any]) -> None: ...


class Maker(Protocol):
    """The service, as far as one build needs it."""

    @property
    def contexts(self) -> Contexts: ...
    @property
    def images(self) -> ImageGround: ...
    @property
    def travels(self) -> Travels: ...
    async def make(self, options: BuildOptions, context: Context, workspace: Path, visit: Visit) -> BuildResult: ...


@dataclass(frozen=True, slots=True)
class Done:
    """What came of it: the image's id, "" after a check; the index that holds it and those of other platforms."""

    image: str
    trip: Trip
    index: Digest | None = None


async def perform(maker: Maker, options: BuildOptions, sent: Sent, workspace: Path, client: Client) -> Done:
    """Build, or check.  Raises BuildFailed where a RUN ended with a status."""
    trip = Trip()
    luggage = await _unload(sent, workspace)
    options = await _with_contexts(maker, options, luggage, workspace, client)
    context = await maker.contexts.receive(options, luggage.body, workspace, client.progress)
    targets = parse_all(options.platform)
    if options.squash and len(targets) > 1:
        raise NotImplementedYet("--squash takes one platform at a time")
    platforms = Platforms(str(host()), targets[0] if targets else str(host()))
    if options.check:
        client.tell(steps.CHECK, checks.findings(options, context, platforms))
        return Done("", trip)
    await _import(maker, options, luggage, workspace, client, trip.ledger)
    lent = SentSecrets(luggage.secrets, options.agents)
    visit = Visit(client.progress, keys_of(options.credentials), client.watcher, lent, trip.ledger)
    results: list[BuildResult] = []
    try:
        for number, target in enumerate(targets or ("",)):
            place = workspace / f"platform-{number}"
            place.mkdir(mode=0o711)
            results.append(await maker.make(replace(options, platform=target), context, place, visit))
    except StepFailed as failure:
        if options.keep_failed:
            client.tell(steps.KEPT, await kept.keep(maker.images, failure))
        raise BuildFailed(failure.message, failure.status, hint=failure.hint) from None
    if not visit.is_classic and (report := checks.warnings(options, context, platforms)):
        client.tell(steps.CHECK, report)
    await _export(maker, options, workspace, trip)
    if len(results) > 1:
        index = await Pusher(maker.images).index_of([Digest.parse(result.image_id) for result in results])
        image = str(maker.images.images.indexes.choose(index) or results[0].image_id)
        client.progress.aux({"ID": image})
        return Done(image, trip, index)
    if not options.squash:
        return Done(results[0].image_id, trip)
    image = await squash.squash(maker.images, results[0])
    client.progress.aux({"ID": image})
    return Done(image, trip)


async def _import(
    maker: Maker, options: BuildOptions, luggage: Luggage, workspace: Path, client: Client, ledger: Ledger
) -> None:
    """--cache-from type=local|registry.  docker: a cache that cannot be had is told of, and nothing more."""
    keys, sent = keys_of(options.credentials), 0
    for number, entry in enumerate(options.cache_imports):
        source = entry.get("ref") or entry.get("src", "")
        told = client.watcher.begin(f"importing cache manifest from {source}")
        try:
            if entry.get("type") == "local":
                tar, sent = luggage.archives.get(f"cache/{sent}"), sent + 1
            else:
                reference = Reference.parse(source)
                tar = await maker.travels.pull(reference, await keys(reference.registry), workspace)
            if tar is not None:
                await maker.travels.read(tar, ledger, workspace / f"cache-{number}")
        except CortenError as failure:
            client.progress.stream(f"importing cache manifest from {source}: {failure.message}\n")
            told.done(failure.message)
        else:
            told.done()


async def _export(maker: Maker, options: BuildOptions, workspace: Path, trip: Trip) -> None:
    """--cache-to type=registry; the client fetches type=local, and type=inline is what every image is."""
    keys = keys_of(options.credentials)
    for number, entry in enumerate(options.cache_exports):
        if entry.get("type") == "registry":
            tar = workspace / f"export-{number}.tar"
            reference = Reference.parse(entry.get("ref", ""))
            await maker.travels.write(trip.ledger, trip.began, tar)
            await maker.travels.push(tar, reference, await keys(reference.registry))


async def _unload(sent: Sent, workspace: Path) -> Luggage:
    if sent.parts is None:
        return Luggage(body=sent.body)
    directory = workspace / "parts"
    directory.mkdir(mode=0o700)
    return await unload(sent.parts, directory)


async def _with_contexts(
    maker: Maker, options: BuildOptions, luggage: Luggage, workspace: Path, client: Client
) -> BuildOptions:
    """Named contexts: an image, a part of what was sent, or something to fetch."""
    named: dict[str, str | Path] = dict(options.named_contexts)
    for number, (name, where) in enumerate(options.contexts.items()):
        if where.startswith(IMAGE):
            named[name] = where
            continue
        directory = workspace / f"context-{number}"
        directory.mkdir(mode=0o755)
        if where == PART:
            if (archive := luggage.archives.get(f"context/{name}")) is None:
                raise Invalid(f"the build context {name} was not sent")
            await maker.contexts.unpack(archive, directory)
            named[name] = directory
            continue
        scratch = workspace / f"remote-{number}"
        scratch.mkdir(mode=0o700)
        remote = await fetch(where, scratch, client.progress)
        if remote.archive is not None:
            await maker.contexts.unpack(remote.archive, directory)
        elif remote.text is not None:
            raise Invalid(f"the build context {name} is neither a repository nor an archive: {where}")
        named[name] = remote.directory or directory
    return replace(options, named_contexts=named)
