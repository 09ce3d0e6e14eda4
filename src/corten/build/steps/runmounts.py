"""RUN --mount: what each kind is on this host, held for the length of the step.

bind: a part of the context, a stage or an image; cache: ../cachemounts.py; tmpfs; secret and ssh: from the client.
Decides; the runtime mounts.
"""

from __future__ import annotations

import asyncio
import os
import posixpath
import shutil
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from corten.build.context import SourceTree
from corten.build.filetree import walk
from corten.build.graph import MountOp, RunOp
from corten.build.ports import Progress, StepMount
from corten.build.steps.base import Kitchen
from corten.build.submount import Piece, piece_of
from corten.build.transfer import Transfer
from corten.errors import Invalid, NotFound
from corten.kernel.paths import Root

SSH_SOCKET = "/run/buildkit/ssh_agent.{}"


@dataclass(slots=True)
class Mounted:
    """The mounts of one RUN, and what they add to its environment."""

    mounts: list[StepMount] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)


async def prepare(kitchen: Kitchen, op: RunOp, stack: AsyncExitStack, out: Progress) -> Mounted:
    """Everything the RUN's mounts need; released with ``stack``."""
    done = Mounted()
    for number, each in enumerate(op.mounts):
        target = each.mount.target
        if each.mount.type == "bind":
            done.mounts.append(await _bind(kitchen, each, target, stack, out))
        elif each.mount.type == "cache":
            done.mounts.append(await _cache(kitchen, each, target, stack, out))
        elif each.mount.type == "tmpfs":
            size = (f"size={each.mount.size}",) if each.mount.size else ()
            done.mounts.append(StepMount(target, "tmpfs", "tmpfs", ("nosuid", "nodev", "mode=755", *size)))
        elif each.mount.type == "secret":
            await _secret(kitchen, each, target, stack, done)
        else:
            await _ssh(kitchen, each, target, number, done)
    if op.script is not None:
        path = _temporary(kitchen.ports.scratch, stack) / op.script.name
        path.write_bytes(op.script.data)
        path.chmod(0o755)
        done.mounts.append(StepMount(op.args[0], "bind", str(path), ("rbind", "ro")))
    return done


def _temporary(parent: Path, stack: AsyncExitStack) -> Path:
    directory = Path(tempfile.mkdtemp(prefix="step-", dir=parent))
    stack.callback(shutil.rmtree, directory, ignore_errors=True)
    return directory


async def _piece(kitchen: Kitchen, each: MountOp, stack: AsyncExitStack, out: Progress) -> Piece:
    source = posixpath.join("/", each.mount.source)
    if each.origin.is_context or each.origin.named:
        tree = await kitchen.tree_of(each.origin, stack, out)
        return _context_piece(kitchen, tree, source, stack)
    state = await kitchen.state_of(each.origin, out)
    if state.chain is None:
        return Piece((str(_temporary(kitchen.ports.scratch, stack)),), True)
    mounts = kitchen.ports.snapshots.mounts(state.chain)
    return await asyncio.to_thread(piece_of, mounts, source, kitchen.ports.trees)


def _context_piece(kitchen: Kitchen, tree: SourceTree, source: str, stack: AsyncExitStack) -> Piece:
    item = tree.find(source)[0]
    host = os.path.join(os.readlink(f"/proc/self/fd/{tree.root.fd}"), item.path)
    if not item.path:
        os.chmod(host, 0o755)  # the directory is the build's own and may be closed; a user in the step must see inside
    if not (item.is_directory and tree.matcher):
        return Piece((host.rstrip("/"),), item.is_directory)
    # What the ignore file leaves out must not be seen: show a copy without it.
    copy = _temporary(kitchen.ports.scratch, stack) / "context"
    copy.mkdir()
    with Root.at(copy) as root:
        transfer = Transfer()
        transfer.tree(tree.entries(item), root.fd, "/")
        transfer.close()
    return Piece((str(copy),), True)


async def _bind(kitchen: Kitchen, each: MountOp, target: str, stack: AsyncExitStack, out: Progress) -> StepMount:
    piece = await _piece(kitchen, each, stack, out)
    if each.mount.readonly:
        return StepMount(target, *piece.read_only())
    scratch = _temporary(kitchen.ports.scratch, stack)
    if piece.is_directory:
        upper, work = scratch / "upper", scratch / "work"
        upper.mkdir()
        work.mkdir()
        return StepMount(target, *piece.writable(upper, work))
    copy = scratch / "file"
    shutil.copy2(piece.layers[0], copy)
    return StepMount(target, "bind", str(copy), ("rbind", "rw"))


async def _cache(kitchen: Kitchen, each: MountOp, target: str, stack: AsyncExitStack, out: Progress) -> StepMount:
    seed = None
    if not each.origin.is_context:
        tree = await kitchen.tree_of(each.origin, stack, out)
        item = tree.find(posixpath.join("/", each.mount.source))[0]

        def seed(directory: Path) -> None:
            fd = tree.root.open(item.path or "/", os.O_RDONLY | os.O_DIRECTORY)
            try:
                with Root.at(directory) as root:
                    Transfer().tree(walk(fd), root.fd, "/")
            finally:
                os.close(fd)

    path = await stack.enter_async_context(kitchen.caches.acquire(each.mount, target, seed))
    return StepMount(target, "bind", str(path), ("rbind", "ro" if each.mount.readonly else "rw"))


async def _secret(kitchen: Kitchen, each: MountOp, target: str, stack: AsyncExitStack, done: Mounted) -> None:
    mount = each.mount
    name = mount.id or mount.source or posixpath.basename(mount.target)
    secrets = kitchen.request.secrets
    value = await secrets.secret(name) if secrets is not None else None
    if value is None:
        if mount.required:
            raise NotFound(f"secret {name}: not found")
        return
    if mount.env is not None:
        done.env[mount.env or name] = value.decode("utf-8", "surrogateescape")
        if not target:
            return
    path = _temporary(kitchen.ports.private, stack) / "secret"
    path.touch(0o600)
    path.write_bytes(value)
    os.chown(path, mount.uid or 0, mount.gid or 0)
    path.chmod(0o400 if mount.mode is None else mount.mode)
    done.mounts.append(
        StepMount(target or f"/run/secrets/{posixpath.basename(name)}", "bind", str(path), ("rbind", "ro"))
    )


async def _ssh(kitchen: Kitchen, each: MountOp, target: str, number: int, done: Mounted) -> None:
    name = each.mount.id or "default"
    secrets = kitchen.request.secrets
    socket = await secrets.ssh(name) if secrets is not None else None
    if socket is None:
        if each.mount.required:
            raise NotFound(f"unset ssh forward key {name}")
        return
    if not os.path.exists(socket):
        raise Invalid(f"the ssh agent's socket {socket} does not exist")
    place = target or SSH_SOCKET.format(number)
    done.mounts.append(StepMount(place, "bind", socket, ("rbind", "rw")))
    done.env.setdefault("SSH_AUTH_SOCK", place)
