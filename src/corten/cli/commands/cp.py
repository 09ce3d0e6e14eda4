"""``corten cp``: files between a container and this machine."""

from __future__ import annotations

import base64
import json
import os
import posixpath
import stat
import sys
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from corten.cli import files
from corten.cli.command import Call, Command
from corten.cli.output import sizes
from corten.cli.transfer import plan
from corten.client import paths
from corten.client.session import Response
from corten.errors import Invalid, NotFound

# Go's os.FileMode: the bits that it keeps for folders and links.
_FOLDER, _LINK = 1 << 31, 1 << 27


def run(call: Call) -> None:
    """Copy one way or the other."""
    (source_container, source), (container, destination) = (plan.split(word) for word in call.arguments)
    if source_container and container:
        raise Invalid("copying between containers is not supported")
    if source_container:
        _download(call, source_container, source, destination)
    elif container:
        _upload(call, source, container, destination)
    else:
        raise Invalid("must specify at least one container source")


class _Stat(NamedTuple):
    """What the daemon tells of a path."""

    mode: int
    link: str
    name: str

    @property
    def kind(self) -> plan.Kind:
        return plan.Kind(exists=True, is_folder=bool(self.mode & _FOLDER))


def _read_stat(response: Response) -> _Stat:
    text = response.head.headers.get("x-docker-container-path-stat", "")
    found: dict[str, Any] = json.loads(base64.b64decode(text)) if text else {}
    return _Stat(int(found.get("mode", 0)), str(found.get("linkTarget", "")), str(found.get("name", "")))


def _remote_stat(call: Call, container: str, path: str) -> _Stat:
    response = call.session.request("HEAD", paths.container(container, "/archive"), {"path": path})
    response.read()
    return _read_stat(response)


def _absolute(path: str) -> str:
    """A path of a container from its root; what a trailing slash says is kept."""
    return path if path.startswith("/") else f"/{path}"


def _download(call: Call, container: str, source: str, destination: str) -> None:
    from corten.cli.transfer import unpack

    options = call.options
    source = _absolute(source)
    if destination != "-" and not os.path.isdir(os.path.dirname(os.path.abspath(destination.rstrip("/") or "/"))):
        folder = os.path.dirname(destination.rstrip("/"))
        raise NotFound(f'invalid output path: directory "{folder}" does not exist')
    if options.on("follow-link"):
        found = _remote_stat(call, container, source)
        if found.mode & _LINK:
            source = posixpath.join(posixpath.dirname(posixpath.normpath(source)), found.link)
    response = call.session.request("GET", paths.container(container, "/archive"), {"path": source})
    found = _read_stat(response)
    if destination == "-":
        files.refuse_terminal("", "copy")
        files.write_stream("", response.pieces())
        return
    local = plan.Kind(os.path.exists(destination), os.path.isdir(destination))
    wanted = os.fspath(destination).replace(os.sep, "/")
    target = plan.target(source, bool(found.mode & _FOLDER), wanted, local)
    size = unpack.extract(response.pieces(), target, found.name or plan.base(source))
    _tell(call, size, destination)


def _upload(call: Call, source: str, container: str, destination: str) -> None:
    from corten.cli.transfer import pack

    options = call.options
    destination = _absolute(destination)
    kind, destination = _kind_of_destination(call, container, destination)
    query = {"path": destination, "noOverwriteDirNonDir": True, "copyUIDGID": options.on("archive")}
    body: Iterable[bytes]
    if source == "-":
        if not kind.is_folder:
            raise Invalid(f'destination "{container}:{destination}" must be a directory')
        body = files.read_blocks(sys.stdin.buffer)
    else:
        info = _local_stat(source, follow=options.on("follow-link"))
        target = plan.target(source, stat.S_ISDIR(info.st_mode), destination, kind)
        query["path"] = target.folder
        name = "" if plan.wants_contents(source) and kind.is_folder else target.name
        if name == "/":
            name = plan.base(os.path.abspath(source))
        body = pack.stream(source, name, follow=options.on("follow-link"))
    sent = _Counter(body)
    headers = {"Content-Type": "application/x-tar"}
    call.session.request("PUT", paths.container(container, "/archive"), query, iter(sent), headers).read()
    _tell(call, sent.count, f"{container}:{destination}")


def _kind_of_destination(call: Call, container: str, destination: str) -> tuple[plan.Kind, str]:
    """What is there, links followed, and its path."""
    for _ in range(40):
        try:
            found = _remote_stat(call, container, destination)
        except NotFound as error:
            if "No such container" in error.message:
                raise
            # A HEAD has no words; the daemon says what is wrong when it is asked for more.
            call.session.request("GET", paths.container(container, "/json")).read()
            return plan.Kind(exists=False, is_folder=False), destination
        if not found.mode & _LINK:
            return found.kind, destination
        destination = posixpath.join(posixpath.dirname(posixpath.normpath(destination)), found.link)
    raise Invalid(f"too many links: {destination}")


def _local_stat(source: str, *, follow: bool) -> os.stat_result:
    plain = source.rstrip("/") or "/"
    try:
        return os.stat(plain) if follow or plan.wants_folder(source) else os.lstat(plain)
    except FileNotFoundError as error:
        raise NotFound(f"lstat {os.path.abspath(plain)}: no such file or directory") from error


class _Counter:
    """Pieces and how many bytes they were."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = pieces
        self.count = 0

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            self.count += len(piece)
            yield piece


def _tell(call: Call, size: int, place: str) -> None:
    if not call.options.on("quiet") and sys.stderr.isatty():
        print(f"Successfully copied {sizes.human(size)} to {place}", file=sys.stderr)


COMMAND = Command(
    run,
    "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-",
    """
    -a, --archive            Archive mode (copy all uid/gid information)
    -L, --follow-link        Always follow symbol link in SRC_PATH
    -q, --quiet              Suppress progress output during copy
    """,
    least=2,
    most=2,
)
