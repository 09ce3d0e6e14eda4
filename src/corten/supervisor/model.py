"""Values that the engine shares with the runtime: shim options, exit records, start failures, statistics.

Owns the shapes and their JSON.  Does no I/O.  For the operations read ``service.py``; for the files in a bundle
read ``runtime/bundle.py``.

What the engine writes into a bundle
    config.json   an OCI runtime spec.  Corten's extensions, all optional:
        process.user.username        Docker's User string ("www-data", "1000:staff", …), resolved inside the root, with
                                     supplementary groups; wins over uid and gid
        process.user.additionalGids  may hold group names as well as numbers, resolved inside the root
        linux.seccomp                absent: the built-in default profile (Docker's), resolved against the capabilities.
                                     Present: OCI's form or Docker's profile format (includes and excludes are resolved)
        mounts[].subpath             of a bind: what is shown of the source, looked up beneath it when it is mounted
        annotations                  see the constants below
    rootfs.json   a list of mounts {"type", "source", "options"}: the root file system, each stacked on the one before
    shim.json     ShimOptions
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any

from corten.errors import Internal

SECCOMP_ANNOTATION = "corten.seccomp"
"""Set it to "unconfined" for no system call filter at all (privileged, seccomp=unconfined)."""

INIT_ANNOTATION = "corten.init"
"""Set it to "true" for ``docker run --init``: a small pid 1 that forwards signals and reaps."""

MTAB_ANNOTATION = "corten.mtab"
"""Set it to "true" for a link from /etc/mtab to /proc/mounts where the root has none."""

RUNTIME_STEP = "runtime"
"""The step of a StartFailure whose message is an external runtime's own."""


@dataclass(frozen=True, slots=True)
class ShimOptions:
    """How a container's shim treats its streams and its log (shim.json)."""

    tty: bool = False
    open_stdin: bool = False
    stdin_once: bool = False
    log_path: str | None = None  # None: nothing is kept
    log_max_size: int = 0  # bytes in one file; 0 is unbounded
    log_max_file: int = 1
    log_compress: bool = False
    log_attrs: dict[str, str] = field(default_factory=dict)  # labels and environment that each line carries
    log_sink: dict[str, Any] | None = None  # where lines go besides: see runtime/logsink.py
    expect_client: bool = True  # someone attaches before start; without, the shim sleeps and costs half as much memory
    height: int = 0  # the terminal's first size
    width: int = 0
    runtime: dict[str, Any] | None = None  # an external OCI runtime: see runtime/external/command.py

    @classmethod
    def parse(cls, body: dict[str, Any]) -> ShimOptions:
        """Unknown keys are ignored, so that an older shim understands a newer daemon."""
        known = {each.name for each in fields(cls)}
        return cls(**{key: value for key, value in body.items() if key in known})

    def to_json(self) -> dict[str, Any]:
        """The body of shim.json."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Client:
    """The streams that an attached client wants."""

    stdin: bool
    stdout: bool
    stderr: bool

    def to_json(self) -> dict[str, bool]:
        return {"stdin": self.stdin, "stdout": self.stdout, "stderr": self.stderr}


@dataclass(frozen=True, slots=True)
class ExitRecord:
    """How a process ended (exit.json).  ``error`` is non-empty when it is not the process's own doing."""

    status: int  # 0…255; 128+n for a signal
    finished_at: float
    signal: int | None = None
    oom_killed: bool = False
    started_at: float | None = None
    error: str = ""

    @classmethod
    def parse(cls, body: dict[str, Any]) -> ExitRecord:
        """Read what ``to_json`` or a shim wrote."""
        return cls(
            status=int(body["status"]),
            finished_at=float(body["finished_at"]),
            signal=body.get("signal"),
            oom_killed=bool(body.get("oom_killed", False)),
            started_at=body.get("started_at"),
            error=str(body.get("error", "")),
        )

    def to_json(self) -> dict[str, Any]:
        """The body of exit.json."""
        return asdict(self)


class StartFailure(Internal):
    """A process could not be made.  ``step`` says where, ``errno`` why; the message has Docker's wording."""

    def __init__(self, step: str, errno: int, message: str) -> None:
        super().__init__(message)
        self.step = step
        self.errno = errno

    @property
    def exit_code(self) -> int:
        """What Docker's client and ``docker inspect`` show: 127 not found, 126 not executable, else 128."""
        if self.step == "change to working directory":
            return {2: 127, 13: 126}.get(self.errno, 128)
        if self.step not in ("exec", RUNTIME_STEP):
            return 128
        return {2: 127, 20: 127, 13: 126, 8: 126, 21: 126}.get(self.errno, 128)


@dataclass(frozen=True, slots=True)
class Stats:
    """Numbers of a container's control groups, the same for both versions.  Bytes, nanoseconds, counts.

    ``Task.stats()`` gives them as a plain dict with these keys; what the kernel does not tell is absent.

        cpu       usage, user, system (ns); per_cpu [ns]; periods, throttled_periods, throttled_time (ns)
        memory    usage, max_usage, limit, failcnt, oom_kills; detail {…: the memory.stat file as it is};
                  cache-neutral ``inactive_file``
        pids      current, limit (0: none)
        blkio     bytes [[major, minor, "read"|"write", n]]; ios [[major, minor, "read"|"write", n]]
        version   1 or 2;  read_at (unix time);  online_cpus
    """

    body: dict[str, Any]
