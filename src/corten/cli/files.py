"""Streams of bytes between the daemon and the user's files or pipes.

Owns: writing an archive to ``-o FILE`` (whole or not at all), refusing to write one to a terminal, reading in blocks.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from corten.errors import Invalid, NotFound

BLOCK = 256 * 1024


def refuse_terminal(output: str, what: str) -> None:
    """Raise unless there is somewhere to write an archive to."""
    if not output and sys.stdout.isatty():
        verb = "save" if what == "save" else what
        raise Invalid(f"cowardly refusing to {verb} to a terminal. Use the -o flag or redirect")
    if output and not os.path.isdir(os.path.dirname(os.path.abspath(output))):
        raise NotFound(f'failed to {what}: invalid output path: directory "{os.path.dirname(output)}" does not exist')


def write_stream(output: str, pieces: Iterable[bytes]) -> None:
    """Write to standard output, or to a file that appears under its name when it is complete."""
    if not output:
        write = sys.stdout.buffer.write
        for piece in pieces:
            write(piece)
        sys.stdout.buffer.flush()
        return
    if os.path.exists(output) and not os.path.isfile(output):
        with open(output, "wb") as device:
            device.writelines(pieces)
        return
    draft = f"{output}.{os.getpid()}.part"
    try:
        with open(draft, "wb") as file:
            file.writelines(pieces)
        os.replace(draft, output)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(draft)
        raise


def read_blocks(file: BinaryIO) -> Iterator[bytes]:
    """What a file has, in blocks."""
    while block := file.read(BLOCK):
        yield block
