"""Lowering of RUN: shell or exec form, heredocs, mounts, environment.  Pure; steps/run.py runs it."""

from __future__ import annotations

import posixpath
from dataclasses import replace

from corten.build.args import PROXIES
from corten.build.dockerfile import go, heredoc, runmount
from corten.build.dockerfile.instructions import CommandLine, Run
from corten.build.graph import InlineFile, MountOp, RunOp
from corten.build.ground import Ground, Lowered
from corten.errors import Invalid

SCRIPT_DIRECTORY = "/dev/pipes"
"""Where a heredoc with a #! line is put to be run (BuildKit's place)."""


def run(ground: Ground, instruction: Run) -> Lowered:
    args, script = _command(ground, instruction.command)
    mounts = tuple(_mount(ground, text) for text in instruction.mounts)
    args_env = ground.args.visible(ground.env)
    env = {**ground.args.globals.proxies(), **args_env, **ground.env}
    shown = tuple(sorted(f"{name}={value}" for name, value in args_env.items() if name not in PROXIES))
    op = RunOp(
        args,
        tuple(f"{name}={value}" for name, value in env.items()),
        shown,
        ground.cwd,
        str(ground.config.get("User") or ""),
        mounts,
        instruction.network,
        instruction.security == "insecure",
        script,
    )
    words = " ".join(args if script is None else (*args, f"<<{script.name}"))
    return op, f"|{len(shown)} {' '.join(shown)} {words}" if shown else words


def _command(ground: Ground, command: CommandLine) -> tuple[tuple[str, ...], InlineFile | None]:
    if not command.is_shell:
        if not command.args:
            raise Invalid("No command specified")
        return command.args, None
    text = command.args[0] if command.args else ""
    documents = command.heredocs
    if documents and heredoc.parse(text) is not None:
        document = documents[0]
        if document.content.startswith("#!"):
            script = InlineFile(document.name, document.text().encode())
            return (f"{SCRIPT_DIRECTORY}/{document.name}",), script
        text = document.text()
    elif documents:
        # The shell itself reads them: give it the line and the bodies as they were.
        text += "".join(f"\n{document.content}{document.name}" for document in documents)
    return (*ground.shell, text), None


def _mount(ground: Ground, text: str) -> MountOp:
    mount = runmount.parse(text, ground.expand)
    if mount.target or mount.type in ("bind", "cache", "tmpfs"):
        mount = replace(mount, target=go.clean(posixpath.join("/", ground.cwd, mount.target)))
    if mount.target == "/":
        raise Invalid('invalid mount target "/"')
    if mount.type == "ssh" and mount.source:
        raise Invalid("ssh does not support source")
    return MountOp(mount, ground.origin(mount.origin))
