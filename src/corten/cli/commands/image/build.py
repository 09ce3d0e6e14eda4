"""``corten build``: an image from a Dockerfile."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any

from corten.cli.buildcontext import source
from corten.cli.command import Call, Command, Exit
from corten.cli.containers import limits, network
from corten.cli.output import progress, sizes
from corten.client import credentials
from corten.errors import Invalid

# flag -> parameter
_TEXTS = {
    "cgroup-parent": "cgroupparent",
    "cpuset-cpus": "cpusetcpus",
    "cpuset-mems": "cpusetmems",
    "isolation": "isolation",
    "network": "networkmode",
    "platform": "platform",
    "target": "target",
}
_NUMBERS = {"cpu-period": "cpuperiod", "cpu-quota": "cpuquota", "cpu-shares": "cpushares"}
_SIZES = {"memory": "memory", "memory-swap": "memswap", "shm-size": "shmsize"}
_SWITCHES = {"force-rm": "forcerm", "no-cache": "nocache", "pull": "pull", "quiet": "q", "squash": "squash"}


def run(call: Call) -> None:
    """Send the context, show what comes back, note the image's id."""
    options = call.options
    id_file = options.text("iidfile")
    if id_file and os.path.exists(id_file):
        os.unlink(id_file)
    found = source.find(call.arguments[0], options.text("file"))
    quiet = options.on("quiet")
    ids: list[str] = []
    body: Iterable[bytes] | bytes = found.body
    if found.remote:
        body = b""
    else:
        body = _compressed(found.body) if options.on("compress") else found.body
        body = body if quiet else _counted(body)
    headers = {"Content-Type": "application/x-tar"}
    if known := credentials.everything(call.config):
        headers["X-Registry-Config"] = credentials.encode_header(known)
    response = call.session.request("POST", "/build", parameters(call, found), body, headers)
    try:
        progress.follow(response.objects(), sys.stdout, lambda message: ids.append(str(message["aux"].get("ID", ""))))
    except progress.StepFailed as error:
        sys.stdout.flush()
        raise Exit(error.code or 1, error.message) from error
    image = next((known_id for known_id in reversed(ids) if known_id), "")
    if id_file:
        if not image:
            raise Invalid(f"the daemon told no image id; {id_file} is not written")
        with open(id_file, "w", encoding="utf-8") as file:
            file.write(image)


def parameters(call: Call, found: source.Source) -> dict[str, Any]:
    """The query of POST /build."""
    options = call.options
    query: dict[str, Any] = {name: options.text(flag) for flag, name in _TEXTS.items()}
    query |= {name: options.number(flag) for flag, name in _NUMBERS.items() if options.given(flag)}
    query |= {name: options.size(flag) for flag, name in _SIZES.items() if options.given(flag)}
    query |= {name: options.on(flag) for flag, name in _SWITCHES.items()}
    query |= {
        "dockerfile": found.dockerfile,
        "remote": found.remote,
        "t": options.many("tag"),
        "rm": "1" if options.on("rm") else "0",
        "buildargs": _arguments(options.many("build-arg")),
        "labels": dict(word.partition("=")[::2] for word in options.many("label")),
        "extrahosts": network.extra_hosts(options.many("add-host")),
        "securityopt": json.dumps(options.many("security-opt")) if options.many("security-opt") else "",
        "cachefrom": json.dumps(options.many("cache-from")) if options.many("cache-from") else "",
        "ulimits": json.dumps(limits.ulimits(options.many("ulimit"))) if options.many("ulimit") else "",
        "version": "1",
    }
    return query


def _arguments(words: list[str]) -> dict[str, str | None]:
    """``NAME=value``, or a bare NAME whose value is this environment's; unset there is null."""
    found: dict[str, str | None] = {}
    for word in words:
        name, equals, value = word.partition("=")
        found[name] = value if equals else os.environ.get(name)
    return found


def _counted(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same, telling how much has been sent."""
    is_terminal = sys.stdout.isatty()
    total, told = 0, 0.0

    def tell(end: str) -> None:
        print(f"Sending build context to Corten daemon  {sizes.human(total, 4)}", end=end, flush=True)

    for piece in pieces:
        total += len(piece)
        now = time.monotonic()
        if is_terminal and now - told > 0.1:
            tell("\r")
            told = now
        yield piece
    tell("\n")


def _compressed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    import zlib

    packer = zlib.compressobj(wbits=31)
    for piece in pieces:
        if data := packer.compress(piece):
            yield data
    yield packer.flush()


COMMAND = Command(
    run,
    "[OPTIONS] PATH | URL | -",
    """
        --add-host=list                     Add a custom host-to-IP mapping (host:ip)
        --build-arg=list                    Set build-time variables
        --cache-from=strings                Images to consider as cache sources
        --cgroup-parent=string              Parent cgroup for the RUN instructions
        --compress                          Compress the build context using gzip
        --cpu-period=int                    Limit the CPU CFS (Completely Fair Scheduler) period
        --cpu-quota=int                     Limit the CPU CFS (Completely Fair Scheduler) quota
    -c, --cpu-shares=int                    CPU shares (relative weight)
        --cpuset-cpus=string                CPUs in which to allow execution (0-3, 0,1)
        --cpuset-mems=string                MEMs in which to allow execution (0-3, 0,1)
        --disable-content-trust=bool(true)  Skip image verification
    -f, --file=string                       Name of the Dockerfile (default "PATH/Dockerfile")
        --force-rm                          Always remove intermediate containers
        --iidfile=string                    Write the image ID to the file
        --isolation=string                  Container isolation technology
        --label=list                        Set metadata for an image
    -m, --memory=bytes                      Memory limit
        --memory-swap=bytes                 Swap limit equal to memory plus swap: -1 to enable unlimited swap
        --network=string                    Networking mode for the RUN instructions during build
        --no-cache                          Do not use cache when building the image
        --platform=string                   Platform of the image to build
        --pull                              Always attempt to pull a newer version of the image
    -q, --quiet                             Suppress the build output and print image ID on success
        --rm=bool(true)                     Remove intermediate containers after a successful build
        --security-opt=strings              Security options
        --shm-size=bytes                    Size of /dev/shm
        --squash                            Squash newly built layers into a single new layer
    -t, --tag=list                          Name and optionally a tag in the "name:tag" format
        --target=string                     Set the target build stage to build
        --ulimit=ulimit                     Ulimit options
    """,
    least=1,
    most=1,
)
