"""Lowering of COPY and ADD.  Pure; steps/copy.py does the copying."""

from __future__ import annotations

import posixpath

from corten.build.dockerfile.instructions import Copy
from corten.build.graph import CopyOp, InlineFile
from corten.build.ground import Ground, Lowered
from corten.build.modes import parse_mode
from corten.errors import Invalid


def copy(ground: Ground, instruction: Copy) -> Lowered:
    sources = tuple(ground.expand(source) for source in instruction.sources)
    inline = tuple(InlineFile(doc.name, ground.expand_body(doc).encode()) for doc in instruction.inline)
    written = ground.expand(instruction.destination)
    chmod = ground.expand(instruction.chmod)
    if chmod:
        parse_mode(chmod)
    op = CopyOp(
        sources,
        inline,
        destination_path(ground.cwd, written),
        origin=ground.origin(instruction.origin),
        is_add=instruction.is_add,
        chown=ground.expand(instruction.chown),
        chmod=chmod,
        link=instruction.link,
        parents=instruction.parents,
        excludes=tuple(ground.expand(pattern) for pattern in instruction.excludes),
        checksum=ground.expand(instruction.checksum),
        keep_git_dir=instruction.keep_git_dir,
        unpack=instruction.unpack,
    )
    _check(op, written)
    return op, op.name


def destination_path(cwd: str, written: str) -> str:
    """The absolute destination; "", ".", ".." and a trailing slash all mean a directory and end in one."""
    path = posixpath.normpath(posixpath.join("/", cwd, written)).replace("//", "/")
    is_directory = not written or written.endswith("/") or posixpath.basename(written) in (".", "..")
    return f"{path}/" if is_directory and path != "/" else path


def _check(op: CopyOp, written: str) -> None:
    is_directory = op.destination.endswith("/")
    if len(op.sources) + len(op.inline) > 1 and not is_directory:
        raise Invalid(
            f"When using {op.name} with more than one source file, the destination must be a directory and end with a /"
        )
    if op.inline and not op.sources and written == "":
        raise Invalid(f"{op.name} cannot determine a destination")
    if op.checksum:
        if len(op.sources) != 1:
            raise Invalid("checksum can't be specified for multiple sources")
        if not is_remote(op.sources[0]):
            raise Invalid("checksum requires HTTP(S) or Git sources")
    if not op.is_add and op.origin.is_context:
        for source in op.sources:
            if source.startswith(("http://", "https://")):
                raise Invalid("source can't be a URL for COPY")
            if is_git(source):
                raise Invalid("source can't be a git ref for COPY")


def is_remote(source: str) -> bool:
    return source.startswith(("http://", "https://")) or is_git(source)


def is_git(source: str) -> bool:
    """Docker's notion of an address that git fetches."""
    if source.startswith(("git://", "ssh://", "git@")):
        return True
    return source.startswith(("http://", "https://")) and source.partition("#")[0].partition("?")[0].endswith(".git")
