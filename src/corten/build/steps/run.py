"""RUN: a process on the step's snapshot.

Its outcome depends on the files it starts from, its arguments, environment, user, directory, network and what is
mounted by bind; secrets, ssh, tmpfs and caches are no part of the key, and proxies neither.
"""

from __future__ import annotations

import asyncio
import codecs
import hashlib
import os
import posixpath
from collections.abc import Callable
from contextlib import AsyncExitStack

from corten.build import upper
from corten.build.args import PROXIES
from corten.build.failures import StepFailed
from corten.build.filetree import digest_of
from corten.build.graph import RunOp, Vertex
from corten.build.output import short
from corten.build.ports import Progress, RunRequest
from corten.build.steps import runmounts
from corten.build.steps.base import Inputs, Kitchen, Stack, State
from corten.errors import Denied


class RunStep:
    """See the module."""

    async def inputs(self, kitchen: Kitchen, state: State, vertex: Vertex, stack: Stack, out: Progress) -> Inputs:
        op = _op(vertex)
        env = [entry for entry in op.env if entry.partition("=")[0] not in PROXIES]
        parts = {
            "command": "\0".join(op.args),
            "environment": "\n".join(sorted(env)),
            "user": op.user,
            "directory": op.cwd,
            "network": f"{op.network} {kitchen.request.network}",
            "security": "insecure" if op.insecure else "",
        }
        if op.script is not None:
            parts["script"] = hashlib.sha256(op.script.data).hexdigest()
        for each in op.mounts:
            mount = each.mount
            parts[f"mount {mount.target}"] = f"{mount.type} {mount.source} {mount.readonly} {mount.env}"
            if mount.type == "bind":
                tree = await kitchen.tree_of(each.origin, stack, out)
                item = tree.find(posixpath.join("/", mount.source))[0]
                digest = await asyncio.to_thread(lambda: digest_of(tree.entries(item), owners=True))  # noqa: B023
                parts[f"contents of {mount.target}"] = digest
        is_told = not any(each.mount.type == "bind" for each in op.mounts) and op.script is None
        return Inputs(parts, vertex.comment, True, is_told_by_comment=is_told)

    async def is_needed(self, kitchen: Kitchen, state: State, vertex: Vertex) -> bool:
        return True

    async def perform(
        self, kitchen: Kitchen, key: str, vertex: Vertex, inputs: Inputs, stack: Stack, out: Progress
    ) -> None:
        op, request = _op(vertex), kitchen.request
        if op.insecure and "security.insecure" not in request.entitlements:
            raise Denied("security.insecure is not allowed", hint="Start the build with --allow security.insecure.")
        container_id = os.urandom(32).hex()
        out.stream(f" ---> Running in {short(container_id)}\n")
        async with AsyncExitStack() as held:
            mounted = await runmounts.prepare(kitchen, op, held, out)
            run = _request(kitchen, op, key, container_id, mounted)
            status = await kitchen.ports.executor.run(run, _decoded(out))
        targets = [mount.target for mount in mounted.mounts]
        snapshots = kitchen.ports.snapshots
        upper.remove_stubs(snapshots.upper(key), lambda: snapshots.mounts(key), targets)
        if status != 0:
            if request.force_remove:
                out.stream(f" ---> Removed intermediate container {short(container_id)}\n")
            command = " ".join(op.args)
            message = f"The command '{command}' returned a non-zero code: {status}"
            raise StepFailed(
                message,
                vertex.location,
                status=status,
                command=command,
                env=op.env,
                cwd=op.cwd,
                user=op.user,
            )
        if request.remove or request.force_remove:
            out.stream(f" ---> Removed intermediate container {short(container_id)}\n")


def _op(vertex: Vertex) -> RunOp:
    assert isinstance(vertex.op, RunOp)
    return vertex.op


def _request(kitchen: Kitchen, op: RunOp, key: str, container_id: str, mounted: runmounts.Mounted) -> RunRequest:
    request = kitchen.request
    return RunRequest(
        container_id,
        key,
        op.args,
        (*op.env, *(f"{name}={value}" for name, value in mounted.env.items())),
        op.cwd,
        op.user,
        hostname=short(container_id),
        network=op.network if op.network != "default" else request.network or "default",
        privileged=op.insecure,
        mounts=tuple(mounted.mounts),
        extra_hosts=request.extra_hosts,
        shm_size=request.shm_size,
        resources=request.resources,
        ulimits=request.ulimits,
        security_opt=request.security_opt,
        cgroup_parent=request.cgroup_parent,
    )


def _decoded(out: Progress) -> Callable[[bytes], None]:
    """Bytes to text, characters that a read cut in two kept whole."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def write(data: bytes) -> None:
        text = decoder.decode(data)
        if text:
            out.log(text)

    return write
