"""``corten stats``: what containers use, live."""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

from corten.cli.command import Call, Command
from corten.cli.output import listing, sizes
from corten.client import paths
from corten.errors import CortenError

HEADERS = {
    "BlockIO": "BLOCK I/O",
    "CPUPerc": "CPU %",
    "Container": "CONTAINER",
    "ID": "CONTAINER ID",
    "MemPerc": "MEM %",
    "MemUsage": "MEM USAGE / LIMIT",
    "Name": "NAME",
    "NetIO": "NET I/O",
    "PIDs": "PIDS",
}
COLUMNS = ("ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs")
PERIOD = 0.5


def run(call: Call) -> None:
    """Watch each container in a thread, draw twice a second."""
    options = call.options
    watches = {name: _Watch(call, name) for name in _names(call)}
    if call.arguments:
        for name in call.arguments:
            call.session.get(paths.container(name, "/json"))  # what is not there is told at once
    if options.on("no-stream"):
        for watch in watches.values():
            watch.start(once=True)
        for watch in watches.values():
            watch.join()
        _draw(call, list(watches.values()))
        return
    for watch in watches.values():
        watch.start(once=False)
    clears = sys.stdout.isatty() and options.text("format") in ("", "table")
    while True:
        if not call.arguments:
            _renew(call, watches)
        if clears:
            sys.stdout.write("\x1b[H\x1b[2J")
        _draw(call, list(watches.values()))
        if call.arguments and all(watch.ended for watch in watches.values()):
            return
        time.sleep(PERIOD)


def _names(call: Call) -> list[str]:
    if call.arguments:
        return call.arguments
    query = {"all": call.options.on("all")}
    return [str(item["Id"]) for item in call.session.get("/containers/json", query)]


def _renew(call: Call, watches: dict[str, _Watch]) -> None:
    """Containers come and go while we look."""
    names = _names(call)
    for name in names:
        if name not in watches:
            watches[name] = _Watch(call, name)
            watches[name].start(once=False)
    for name in set(watches) - set(names):
        del watches[name]


def _draw(call: Call, watches: list[_Watch]) -> None:
    options = call.options
    rows = [watch.row(whole=options.on("no-trunc")) for watch in watches]
    if failures := [watch.failure for watch in watches if watch.failure is not None and call.arguments]:
        raise failures[0]
    listing.show(rows, HEADERS, COLUMNS, options.text("format"), kind="container.statsContext")


class _Watch:
    """The newest sample of one container."""

    def __init__(self, call: Call, name: str) -> None:
        self._call = call
        self._name = name
        self._sample: dict[str, Any] = {}
        self._thread: threading.Thread | None = None
        self.failure: CortenError | None = None
        self.ended = False

    def start(self, *, once: bool) -> None:
        """Begin to watch."""
        self._thread = threading.Thread(target=self._run, args=(once,), daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait for the end of a single look."""
        assert self._thread is not None
        self._thread.join()

    def _run(self, once: bool) -> None:
        query = {"stream": "0" if once else "1"}
        try:
            response = self._call.session.request("GET", paths.container(self._name, "/stats"), query)
            for sample in response.objects():
                self._sample = sample
        except CortenError as error:
            self.failure = error
        self.ended = True

    def row(self, *, whole: bool) -> listing.Row:
        """The sample as the fields of a listing."""
        return row(self._name, self._sample, whole=whole)


def row(asked: str, sample: dict[str, Any], *, whole: bool) -> listing.Row:
    """A sample of the API as the fields of a listing; dashes where there is none yet."""
    name = str(sample.get("name") or "").removeprefix("/")
    identity = str(sample.get("id") or asked)
    fields = {
        "BlockIO": "--",
        "CPUPerc": "--",
        "Container": asked,
        "ID": identity if whole else identity[:12],
        "MemPerc": "--",
        "MemUsage": "-- / --",
        "Name": name or "--",
        "NetIO": "--",
        "PIDs": "--",
    }
    if not sample:
        return fields
    memory = sample.get("memory_stats") or {}
    used, limit = _used(memory), int(memory.get("limit") or 0)
    networks = (sample.get("networks") or {}).values()
    received, sent = (sum(item.get(key) or 0 for item in networks) for key in ("rx_bytes", "tx_bytes"))
    read, written = _blocks(sample.get("blkio_stats") or {})
    return fields | {
        "BlockIO": f"{sizes.human(read)} / {sizes.human(written)}",
        "CPUPerc": f"{cpu(sample):.2f}%",
        "MemPerc": f"{used / limit * 100 if limit else 0:.2f}%",
        "MemUsage": f"{sizes.binary(used)} / {sizes.binary(limit)}",
        "NetIO": f"{sizes.human(received)} / {sizes.human(sent)}",
        "PIDs": str((sample.get("pids_stats") or {}).get("current") or 0),
    }


def cpu(sample: dict[str, Any]) -> float:
    """Percent of one CPU between this sample and the one before."""
    now, before = sample.get("cpu_stats") or {}, sample.get("precpu_stats") or {}
    usage, earlier = now.get("cpu_usage") or {}, before.get("cpu_usage") or {}
    mine = (usage.get("total_usage") or 0) - (earlier.get("total_usage") or 0)
    everyone = (now.get("system_cpu_usage") or 0) - (before.get("system_cpu_usage") or 0)
    count = now.get("online_cpus") or len(usage.get("percpu_usage") or ()) or 1
    return mine / everyone * count * 100 if mine > 0 and everyone > 0 else 0.0


def _used(memory: dict[str, Any]) -> int:
    """Without the page cache that would be given back first (both cgroup versions' names for it)."""
    usage = int(memory.get("usage") or 0)
    stats = memory.get("stats") or {}
    inactive = int(stats.get("total_inactive_file") or stats.get("inactive_file") or 0)
    return usage - inactive if inactive < usage else usage


def _blocks(stats: dict[str, Any]) -> tuple[int, int]:
    read = written = 0
    for item in stats.get("io_service_bytes_recursive") or ():
        operation = str(item.get("op") or "").lower()
        if operation == "read":
            read += int(item.get("value") or 0)
        elif operation == "write":
            written += int(item.get("value") or 0)
    return read, written


COMMAND = Command(
    run,
    "[OPTIONS] [CONTAINER...]",
    """
    -a, --all                Show all containers (default shows just running)
        --format=string      Format output: 'table', 'table TEMPLATE', 'json', or a Go template
        --no-stream          Disable streaming stats and only pull the first result
        --no-trunc           Do not truncate output
    """,
)
