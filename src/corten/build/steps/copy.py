"""COPY and ADD: find the sources, digest them, write them into the step's snapshot.

The rules of destinations are Docker's: a trailing slash or an existing directory takes files by their names, a
directory's *contents* are copied, missing directories are made 0755 for the owner of the copies.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import posixpath
import stat
from dataclasses import dataclass

from corten.build import archives, remote
from corten.build.context import Item, SourceTree
from corten.build.dockerfile.ignore import Matcher
from corten.build.filetree import digest_of
from corten.build.graph import CopyOp, Vertex
from corten.build.landing import Landing
from corten.build.lower_copy import is_git, is_remote
from corten.build.modes import parse_mode
from corten.build.owners import find_owner
from corten.build.ports import Progress
from corten.build.steps.base import NOP, Inputs, Kitchen, Stack, State
from corten.build.transfer import Owner, Transfer
from corten.errors import CortenError, Internal, Invalid
from corten.kernel.paths import Root


@dataclass(frozen=True, slots=True)
class Chosen:
    """One source that was found, with the tree that it is in and the digest of what will be copied."""

    tree: SourceTree
    item: Item
    digest: str
    is_download: bool = False
    contents_only: bool = True


class CopyStep:
    """See the module."""

    async def inputs(self, kitchen: Kitchen, state: State, vertex: Vertex, stack: Stack, out: Progress) -> Inputs:
        op = _op(vertex)
        try:
            chosen = await self._choose(kitchen, op, stack, out)
        except CortenError as failure:
            raise type(failure)(f"{op.name} failed: {failure.message}", hint=failure.hint) from None
        digests = [each.digest for each in chosen]
        digests += [f"file:{hashlib.sha256(file.data).hexdigest()}" for file in op.inline]
        summary = digests[0] if len(digests) == 1 else _multi(digests)
        names = [each.item.name for each in chosen] + [file.name for file in op.inline]
        parts = {
            "instruction": f"{op.name} to {op.destination}",
            "contents": summary,
            "names": "\n".join(names),
            "options": f"chown={op.chown} chmod={op.chmod} link={op.link} parents={op.parents} unpack={op.unpack}",
        }
        if op.parents:
            parts["parents"] = "\n".join(each.item.parents for each in chosen)
        # docker: --chown and the digest are not parted by a space.
        chown = f"--chown={op.chown}" if op.chown else ""
        comment = f"{NOP} {op.name} {chown}{summary} in {op.destination} "
        is_told = not (op.chmod or op.link or op.parents or op.unpack is not None or len(names) > 1)
        return Inputs(parts, comment, True, chosen, is_told)

    async def is_needed(self, kitchen: Kitchen, state: State, vertex: Vertex) -> bool:
        return True

    async def perform(
        self, kitchen: Kitchen, key: str, vertex: Vertex, inputs: Inputs, stack: Stack, out: Progress
    ) -> None:
        op = _op(vertex)
        try:
            await asyncio.to_thread(_write, kitchen, key, op, inputs.prepared)
        except CortenError as failure:
            raise type(failure)(f"{op.name} failed: {failure.message}", hint=failure.hint) from None
        except OSError as failure:
            raise Internal(f"{op.name} failed: {failure}") from failure

    async def _choose(self, kitchen: Kitchen, op: CopyOp, stack: Stack, out: Progress) -> list[Chosen]:
        chosen: list[Chosen] = []
        local = [source for source in op.sources if not (op.is_add and is_remote(source))]
        if local:
            tree = await kitchen.tree_of(op.origin, stack, out)
            chosen = await asyncio.to_thread(_find, tree, local, op)
            if not chosen and not op.inline:
                raise Invalid("no source files were specified")
        for source in op.sources:
            if op.is_add and is_remote(source):
                chosen.append(await _download(kitchen, source, op, stack, out))
        _check_many(op, len(chosen) + len(op.inline))
        return chosen


def _multi(digests: list[str]) -> str:
    return "multi:" + hashlib.sha256(",".join(digests).encode()).hexdigest()


def _op(vertex: Vertex) -> CopyOp:
    assert isinstance(vertex.op, CopyOp)
    return vertex.op


def _find(tree: SourceTree, sources: list[str], op: CopyOp) -> list[Chosen]:
    excludes = Matcher(op.excludes)
    chosen: list[Chosen] = []
    for source in sources:
        for item in tree.find(source, parents=op.parents):
            if not item.is_directory and excludes and excludes.matches(item.name):
                continue
            digest = digest_of(tree.entries(item, excludes), owners=keeps_owners(op))
            chosen.append(Chosen(tree, item, f"{'dir' if item.is_directory else 'file'}:{digest}"))
    return chosen


async def _download(kitchen: Kitchen, source: str, op: CopyOp, stack: Stack, out: Progress) -> Chosen:
    fetched = await remote.fetch(
        source,
        kitchen.ports.scratch,
        stack,
        is_git=is_git(source),
        checksum=op.checksum,
        keep_git_dir=op.keep_git_dir,
        out=out,
    )
    tree = SourceTree(stack.enter_context(Root.at(fetched.directory)))
    item = Item(fetched.name, fetched.name, tree.root.stat(fetched.name or "/", follow=False))
    digest = await asyncio.to_thread(lambda: digest_of(tree.entries(item), owners=False))
    return Chosen(tree, item, f"{'dir' if item.is_directory else 'file'}:{digest}", is_download=not item.is_directory)


def _check_many(op: CopyOp, count: int) -> None:
    if count > 1 and not op.destination.endswith("/"):
        raise Invalid(
            f"When using {op.name} with more than one source file, the destination must be a directory and end with a /"
        )


def keeps_owners(op: CopyOp) -> bool:
    """docker: files of a stage or an image keep their owners unless --chown is given; those of a context do not."""
    return not op.origin.is_context and not op.chown


def _write(kitchen: Kitchen, key: str, op: CopyOp, chosen: list[Chosen]) -> None:
    ports = kitchen.ports
    with ports.trees.open(ports.snapshots.mounts(key)) as fd:
        root = Root(fd)
        owner: Owner = find_owner(op.chown, root) if op.chown else (0, 0)
        change = parse_mode(op.chmod) if op.chmod else None
        transfer = Transfer(None if keeps_owners(op) else owner, change)
        landing = Landing(root, owner, follow=not op.link)
        try:
            for each in chosen:
                _write_one(landing, transfer, op, each)
            epoch = kitchen.request.source_date_epoch
            for file in op.inline:
                with landing.for_file(op.destination, file.name) as (target_fd, name, shown):
                    moment = epoch * 1_000_000_000 if epoch is not None else landing.now_ns
                    transfer.data(file.data, target_fd, name, shown, mode=0o644, mtime_ns=moment)
        finally:
            transfer.close()


def _write_one(landing: Landing, transfer: Transfer, op: CopyOp, chosen: Chosen) -> None:
    item, destination = chosen.item, op.destination
    if op.parents:
        destination = posixpath.join(destination, item.parents) + "/"
    if item.is_directory:
        with landing.for_directory(destination) as (target_fd, is_new):
            excludes = Matcher(op.excludes)
            transfer.tree(chosen.tree.entries(item, excludes), target_fd, destination)
            if is_new and item.path:
                transfer.settle_directory(target_fd, item.status)
                os.utime(target_fd, ns=(item.status.st_mtime_ns, item.status.st_mtime_ns))
        return
    if wants_unpacking(op, chosen) and archives.is_archive(chosen.tree.root, item.path):
        with landing.for_directory(destination) as (target_fd, _):
            archives.unpack(chosen.tree.root, item.path, target_fd, transfer)
        return
    with landing.for_file(destination, item.name) as (target_fd, name, shown):
        for entry in chosen.tree.entries(item):
            transfer.entry(entry, target_fd, name, shown)
        if chosen.is_download and transfer.change is None:
            os.chmod(name, stat.S_IRUSR | stat.S_IWUSR, dir_fd=target_fd)  # docker: 0600 for what ADD downloads


def wants_unpacking(op: CopyOp, chosen: Chosen) -> bool:
    if not op.is_add:
        return False
    return op.unpack if op.unpack is not None else not chosen.is_download
