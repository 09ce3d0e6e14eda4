"""``--output``: where a built image goes beside the daemon's store.

Owns: reading the words and writing files.  The daemon builds an image in any case; ``local`` and ``tar`` are its
files, ``docker`` and ``oci`` the archive of ``image save``, ``registry`` a push.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tarfile
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from corten.cli.builds.parts import fields
from corten.cli.command import Call
from corten.client import paths
from corten.client.session import Response, quote
from corten.errors import Invalid

KINDS = frozenset({"local", "tar", "oci", "docker", "image", "registry"})
ATTRIBUTES = frozenset({"name", "push", "tar"})


class Output(NamedTuple):
    """One destination."""

    kind: str
    dest: str
    attributes: dict[str, str]

    @property
    def names(self) -> list[str]:
        """Names that the image gets for it."""
        return [name for name in self.attributes.get("name", "").split(",") if name]


def read(words: list[str], *, is_pushed: bool, is_loaded: bool) -> list[Output]:
    """``type=…,dest=…``, a directory, or ``-`` for a tar on standard output."""
    found = [_one(word) for word in words]
    if is_pushed:
        found.append(Output("registry", "", {}))
    if is_loaded:
        found.append(Output("image", "", {}))
    return found


def _one(word: str) -> Output:
    if "=" not in word:
        return Output("tar", "-", {}) if word == "-" else Output("local", word, {})
    given = fields(word, "output")
    kind, dest = given.pop("type", ""), given.pop("dest", "")
    if kind not in KINDS:
        raise Invalid(f'unknown output type "{kind}"' if kind else "type is required for output")
    if unknown := sorted(set(given) - ATTRIBUTES):
        raise Invalid(f"{unknown[0]} is not supported for {kind} output")
    if kind == "local" and not dest:
        raise Invalid("dest is required for local output")
    if kind in ("tar", "oci") and not dest:
        dest = "-"
    if dest == "-" and sys.stdout.isatty():
        raise Invalid(f"dest file is required for {kind} exporter. refusing to write to console")
    return Output(kind, dest, given)


def check(wanted: list[Output], platforms: str, tags: list[str]) -> None:
    """Raise Invalid for what cannot be made of several platforms at once: they are found by a name only."""
    if "," not in platforms:
        return
    for output in wanted:
        if output.kind in ("local", "tar"):
            raise Invalid(f"--output type={output.kind} takes one platform at a time")
        if not tags:
            raise Invalid("a build for several platforms needs a name: give one with --tag")


def deliver(call: Call, output: Output, image: str, tags: list[str]) -> str:
    """Bring the image there; a line about it, or nothing."""
    for name in output.names:
        # The name given by the build may stand for several platforms, the id for one.
        _tag(call, tags[0] if tags else image, name)
    names = output.names or tags
    if output.kind == "registry" or (output.kind == "image" and output.attributes.get("push") in ("true", "1", "")):
        if not names:
            raise Invalid("a tag is needed to push: give one with --tag or name=")
        return "\n".join(_push(call, name) for name in names)
    if output.kind == "image" or (output.kind == "docker" and not output.dest):
        return ""
    if output.kind in ("oci", "docker"):
        query = {"names": names or [image]}
        response = call.session.request("GET", "/images/get", query)
    else:
        response = call.session.request("GET", f"/corten/images/{quote(image, '/:@')}/files")
    if output.kind == "local" or output.attributes.get("tar") == "false":
        _unpack(response, output.dest)
        return f"copying files to {output.dest}"
    with _destination(output.dest) as file:
        for piece in response.pieces():
            file.write(piece)
    return f"writing {output.kind} to {output.dest}"


def write_cache(call: Call, build_id: str, directories: list[str]) -> None:
    """--cache-to=type=local: the cache of the build just made, in each directory."""
    response = call.session.request("GET", f"/corten/builds/{quote(build_id)}/cache")
    first, *others = directories
    for name in ("corten-cache.json", "images.tar"):  # of the time before; nothing else there is ours
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(first, name))
    _unpack(response, first)
    for other in others:
        shutil.copytree(first, other, dirs_exist_ok=True)


def _tag(call: Call, image: str, name: str) -> None:
    from corten.cli import reference

    repository, tag = reference.repository_and_tag(reference.with_latest(name))
    call.session.request("POST", paths.image(image, "/tag"), {"repo": repository, "tag": tag}, b"").read()


def _push(call: Call, name: str) -> str:
    from corten.cli import reference
    from corten.cli.output import progress
    from corten.client import credentials

    repository, tag = reference.repository_and_tag(reference.with_latest(name))
    headers = {"X-Registry-Auth": credentials.lookup(call.config, credentials.registry_of(repository)).header()}
    response = call.session.request("POST", paths.image(repository, "/push"), {"tag": tag}, b"", headers)
    progress.follow(response.objects(), None)
    return f"pushing {name}"


@contextlib.contextmanager
def _destination(path: str) -> Iterator[BinaryIO]:
    if path == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    with open(path, "wb") as file:
        yield file


class _Reader:
    """A response as a file that tarfile can read."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._held = b""

    def read(self, size: int) -> bytes:
        while len(self._held) < size and (piece := next(self._pieces, b"")):
            self._held += piece
        data, self._held = self._held[:size], self._held[size:]
        return data


def _unpack(response: Response, directory: str) -> None:
    """The files below a directory, which stays what it is where it exists; nothing is written outside of it."""
    os.makedirs(directory, exist_ok=True)
    with tarfile.open(fileobj=_Reader(response.pieces()), mode="r|") as files:  # type: ignore[call-overload]
        for member in files:
            if member.isdev() and os.geteuid() != 0:
                continue
            place = os.path.join(directory, member.name)
            if not member.isdir() and os.path.isdir(place) and not os.path.islink(place):
                shutil.rmtree(place)
            files.extract(member, directory, filter=_inside)


def _inside(member: tarfile.TarInfo, directory: str) -> tarfile.TarInfo:
    """Every file belongs to who asked; the standard filter says which places are outside."""
    checked = tarfile.tar_filter(member, directory)
    return checked.replace(mode=member.mode, uid=os.geteuid(), gid=os.getegid(), uname="", gname="", deep=False)
