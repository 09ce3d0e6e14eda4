"""``corten build``: an image from a Dockerfile.

Owns: the order of things.  The query is builds/query.py, what is sent along builds/parts.py, what is shown
builds/display.py, where the result goes builds/outputs.py.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from corten.api import steps
from corten.cli.buildcontext import source
from corten.cli.builds import agents, display, findings, outputs, parts, query
from corten.cli.command import Call, Command, Exit
from corten.cli.output import progress, sizes
from corten.client import credentials
from corten.errors import Invalid

PROGRESS = frozenset({"auto", "plain", "tty", "quiet", "rawjson"})


def run(call: Call) -> None:
    """Send the context, show what comes back, bring the result where it is wanted."""
    options = call.options
    id_file = options.text("iidfile")
    if id_file and os.path.exists(id_file):
        os.unlink(id_file)
    wanted = outputs.read(options.many("output"), is_pushed=options.on("push"), is_loaded=options.on("load"))
    outputs.check(wanted, options.text("platform"), options.many("tag"))
    found = source.find(call.arguments[0], options.text("file"))
    luggage = _luggage(call)
    is_local = call.session.address.kind == "unix"
    with agents.offered(options.many("ssh"), is_local=is_local) as lent:
        if lent:
            luggage.queries["ssh"] = lent
        _build(call, found, luggage, wanted)


def _build(call: Call, found: source.Source, luggage: parts.Parts, wanted: Sequence[outputs.Output]) -> None:
    options = call.options
    asked = query.parameters(options, found, luggage)
    show = _display(options.text("progress"), quiet=options.on("quiet"))
    caches = [entry for entry in query.cache_to(options.many("cache-to")) if entry["type"] == "local"]
    if caches:
        asked["buildid"] = secrets.token_hex(16)
    asked["steps"] = show is not None or options.on("check") or options.on("debug")
    if show is None:
        build = Build(call, None)
        image = build.run(asked, found, luggage)
        delivered = [outputs.deliver(call, each, image, options.many("tag")) for each in wanted if image]
    else:
        with show:
            build = Build(call, show)
            image = build.run(asked, found, luggage)
            if image:
                _tell_image(show, image, options.many("tag"))
            delivered = [outputs.deliver(call, each, image, options.many("tag")) for each in wanted if image]
            if any(delivered):
                show.own("exporting", *(line for text in delivered for line in text.split("\n") if line))
    if caches and image:
        outputs.write_cache(call, asked["buildid"], [entry["dest"] for entry in caches])
    build.epilogue()
    _write_id(options.text("iidfile"), image, options.text("metadata-file"), options.many("tag"))


def _luggage(call: Call) -> parts.Parts:
    options = call.options
    luggage = parts.Parts()
    for name, value in parts.secrets(options.many("secret")).items():
        luggage.streams.append((f"secret/{name}", (value,)))
    _, imports = query.cache_from(options.many("cache-from"))
    for number, entry in enumerate(entry for entry in imports if entry["type"] == "local"):
        luggage.streams.append((f"cache/{number}", parts.cache(entry["src"])))
    if options.many("build-context"):
        parts.contexts(options.many("build-context"), luggage)
    return luggage


def _display(kind: str, *, quiet: bool) -> display.Display | None:
    kind = kind or os.environ.get("BUILDKIT_PROGRESS", "auto")
    if kind not in PROGRESS:
        raise Invalid(f"unknown progress mode {kind!r}: one of auto, plain, tty, quiet, rawjson")
    if quiet or kind in ("quiet", "rawjson"):
        return RawJson() if kind == "rawjson" and not quiet else None
    if kind == "tty" or (kind == "auto" and sys.stderr.isatty()):
        return display.Terminal(sys.stderr)
    return display.Plain(sys.stderr)


class RawJson(display.Display):
    """Events as they come, a line each."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)

    def event(self, key: Any, at: float, what: str, body: dict[str, Any]) -> None:
        super().event(key, at, what, body)
        print(json.dumps({**body, "step": key, "at": at, "event": what}), file=self.out, flush=True)


class Build:
    """One request and what came of it."""

    def __init__(self, call: Call, show: display.Display | None) -> None:
        self._call = call
        self._show = show
        self._image = ""
        self._findings: dict[str, Any] | None = None
        self._kept: dict[str, Any] | None = None
        self._began = 0.0

    def run(self, asked: dict[str, Any], found: source.Source, luggage: parts.Parts) -> str:
        """Build; the image's id.  Raises Exit with the status of a step that failed."""
        headers: dict[str, str] = {"Content-Type": "application/x-tar"}
        if known := credentials.everything(self._call.config):
            headers["X-Registry-Config"] = credentials.encode_header(known)
        body = self._body(found)
        if luggage.streams:
            boundary = f"corten-{secrets.token_hex(16)}"
            headers["Content-Type"] = f"multipart/form-data; boundary={boundary}"
            streams = [*luggage.streams] if found.remote else [*luggage.streams, ("context", body)]
            body = parts.multipart(streams, boundary)
        sent: Iterable[bytes] | bytes = b"" if found.remote and not luggage.streams else body
        response = self._call.session.request("POST", "/build", asked, sent, headers)
        self._began = self._show.now() if self._show else 0.0
        try:
            progress.follow(self._followed(response.objects()), sys.stdout, self._aux)
        except progress.StepFailed as error:
            raise self._failure(error) from error
        return self._image

    def _body(self, found: source.Source) -> Iterator[bytes]:
        pieces = _compressed(found.body) if self._call.options.on("compress") else iter(found.body)
        if self._show is None:
            yield from pieces
            return
        total = 0
        key, name = "context", "[internal] load build context"
        self._show.event(key, self._show.now(), steps.BEGIN, {"name": name})
        for piece in pieces:
            total += len(piece)
            yield piece
        now = self._show.now()
        self._show.event(key, now, steps.LOG, {"text": f"transferring context: {sizes.human(total, 4)} done\n"})
        self._show.event(key, now, steps.DONE, {})

    def _followed(self, messages: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Steps are shown here; the rest is for whoever shows the classic stream."""
        for message in messages:
            kind, body = message.get("id"), message.get("aux")
            if kind == steps.STEP and body:
                if self._show is not None:
                    self._show.event(body["step"], self._began + float(body["at"]), str(body["event"]), body)
            elif kind == steps.CHECK and body:
                self._findings = body
            elif kind == steps.KEPT and body:
                self._kept = body
            else:
                if self._show is None and str(message.get("stream", "")).startswith("sha256:"):
                    self._image = message["stream"].strip()  # all that a quiet build tells
                yield message

    def _aux(self, message: dict[str, Any]) -> None:
        self._image = str(message["aux"].get("ID", "")) or self._image

    def _failure(self, error: progress.StepFailed) -> Exit:
        sys.stdout.flush()
        failed = self._show.failed() if self._show else None
        if self._show is not None:
            self._show.finish()
            for line in display.tail(failed) if failed is not None and failed.lines else ():
                print(line, file=sys.stderr)
        message = f"ERROR: {error.message}" if self._show and "\n" not in error.message else error.message
        if self._kept is not None:
            print(message, file=sys.stderr)
            from corten.cli.builds import shell

            shell.offer(self._call, self._kept)
            message = ""
        return Exit(error.code or 1, message)

    def epilogue(self) -> None:
        """Findings, once everything else has been shown."""
        if self._findings is None:
            return
        if self._call.options.on("check"):
            print("\n".join(findings.report(self._findings)))
            if self._findings.get("is_error"):
                raise Exit(1, "ERROR: lint violation found for rules: " + ", ".join(_rules(self._findings)))
        elif self._show is not None:
            print("\n".join(findings.summary(self._findings)), file=sys.stderr)


def _rules(body: dict[str, Any]) -> list[str]:
    return sorted({each["rule"] for each in body["findings"]})


def _tell_image(show: display.Display, image: str, tags: list[str]) -> None:
    show.own("exporting to image", f"writing image {image} done", *(f"naming to {tag} done" for tag in tags))


def _write_id(id_file: str, image: str, metadata_file: str, tags: list[str]) -> None:
    if id_file:
        if not image:
            raise Invalid(f"the daemon told no image id; {id_file} is not written")
        with open(id_file, "w", encoding="utf-8") as file:
            file.write(image)
    if metadata_file:
        with open(metadata_file, "w", encoding="utf-8") as file:
            body = {"containerimage.config.digest": image, "containerimage.digest": image, "image.name": ",".join(tags)}
            json.dump({name: value for name, value in body.items() if value}, file, indent=2)


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
        --allow=strings                     Allow extra privileged entitlement (e.g., "security.insecure")
        --build-arg=list                    Set build-time variables
        --build-context=list                Additional build contexts (e.g., name=path)
        --cache-from=strings                External cache sources (e.g., "user/app:cache", "type=local,src=dir")
        --cache-to=list                     Cache export destinations (e.g., "type=local,dest=dir")
        --cgroup-parent=string              Parent cgroup for the RUN instructions
        --check                             Check the Dockerfile, build nothing
        --compress                          Compress the build context using gzip
        --cpu-period=int                    Limit the CPU CFS (Completely Fair Scheduler) period
        --cpu-quota=int                     Limit the CPU CFS (Completely Fair Scheduler) quota
    -c, --cpu-shares=int                    CPU shares (relative weight)
        --cpuset-cpus=string                CPUs in which to allow execution (0-3, 0,1)
        --cpuset-mems=string                MEMs in which to allow execution (0-3, 0,1)
        --debug                             Open a shell in the state of a step that fails
        --disable-content-trust=bool(true)  Skip image verification
        --explain                           Say for each step why it was in the cache or not
    -f, --file=string                       Name of the Dockerfile (default "PATH/Dockerfile")
        --force-rm                          Always remove intermediate containers
        --iidfile=string                    Write the image ID to the file
        --isolation=string                  Container isolation technology
        --label=list                        Set metadata for an image
        --load                              Shorthand for "--output=type=docker"
    -m, --memory=bytes                      Memory limit
        --memory-swap=bytes                 Swap limit equal to memory plus swap: -1 to enable unlimited swap
        --metadata-file=string              Write build result metadata to a file
        --network=string                    Networking mode for the RUN instructions during build
        --no-cache                          Do not use cache when building the image
        --no-cache-filter=strings           Do not cache specified stages
    -o, --output=list                       Output destination (format: "type=local,dest=path")
        --platform=string                   Platform of the image to build
        --progress=string                   Type of progress output ("auto", "plain", "tty", "quiet", "rawjson")
        --pull                              Always attempt to pull a newer version of the image
        --push                              Shorthand for "--output=type=registry"
    -q, --quiet                             Suppress the build output and print image ID on success
        --rm=bool(true)                     Remove intermediate containers after a successful build
        --secret=list                       Secret to expose to the build (format: "id=mysecret[,src=/local/secret]")
        --security-opt=strings              Security options
        --shm-size=bytes                    Size of /dev/shm
        --squash                            Squash newly built layers into a single new layer
        --ssh=list                          SSH agent socket to expose to the build (format: "default|<id>[=<socket>]")
    -t, --tag=list                          Name and optionally a tag in the "name:tag" format
        --target=string                     Set the target build stage to build
        --ulimit=ulimit                     Ulimit options
    """,
    least=1,
    most=1,
)
