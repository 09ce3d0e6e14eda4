"""``docker stats``: the numbers of the control groups as Docker shows them.

Owns: the translation of the supervisor's numbers and the sampling of CPU use.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from corten.api.times import ZERO, rfc3339
from corten.engine.containers import networking
from corten.engine.containers.ground import Ground
from corten.engine.containers.live import Live
from corten.errors import CortenError

INTERVAL = 1.0
_UNLIMITED = 1 << 62


async def stream(ground: Ground, live: Live) -> AsyncIterator[dict[str, Any]]:
    """A sample a second until the container is removed; empty samples while it does not run."""
    previous: dict[str, Any] | None = None
    while ground.roster.holds(live):
        shown = await sample(ground, live, previous)
        yield shown
        previous = shown
        await asyncio.sleep(INTERVAL)


async def once(ground: Ground, live: Live, *, one_shot: bool) -> dict[str, Any]:
    """One sample; unless ``one_shot`` with the one before it, so that a client can tell the CPU use."""
    first = await sample(ground, live, None)
    if one_shot or not live.record.is_running:
        return first
    await asyncio.sleep(INTERVAL)
    return await sample(ground, live, first)


async def sample(ground: Ground, live: Live, previous: Mapping[str, Any] | None) -> dict[str, Any]:
    """The numbers now."""
    shown: dict[str, Any] = {"name": f"/{live.record.name}", "id": live.record.id}
    task = live.task
    try:
        raw = await task.stats() if task is not None else None
    except (CortenError, OSError):
        raw = None
    if raw is None or task is None:
        return shown | _empty()
    shown |= {
        "read": rfc3339(raw.get("read_at") or time.time()),
        "preread": previous["read"] if previous else ZERO,
        "num_procs": 0,
        "pids_stats": _pids(raw.get("pids") or {}),
        "blkio_stats": _blkio(raw.get("blkio") or {}),
        "storage_stats": {},
        "cpu_stats": _cpu(raw),
        "precpu_stats": previous["cpu_stats"] if previous else _no_cpu(),
        "memory_stats": _memory(raw.get("memory") or {}),
    }
    if networking.has_own_network(live.record) and (networks := _networks(task.pid)):
        shown["networks"] = networks
    return shown


def _empty() -> dict[str, Any]:
    return {
        "read": ZERO,
        "preread": ZERO,
        "num_procs": 0,
        "pids_stats": {},
        "blkio_stats": _blkio({}),
        "storage_stats": {},
        "cpu_stats": _no_cpu(),
        "precpu_stats": _no_cpu(),
        "memory_stats": {},
    }


def _no_cpu() -> dict[str, Any]:
    return {
        "cpu_usage": {"total_usage": 0, "usage_in_kernelmode": 0, "usage_in_usermode": 0},
        "throttling_data": {"periods": 0, "throttled_periods": 0, "throttled_time": 0},
    }


def _pids(raw: Mapping[str, Any]) -> dict[str, int]:
    shown = {"current": int(raw.get("current") or 0)}
    return shown | {"limit": int(raw.get("limit") or 0) or 2**64 - 1}


def _cpu(raw: Mapping[str, Any]) -> dict[str, Any]:
    cpu = raw.get("cpu") or {}
    usage = {
        "total_usage": int(cpu.get("usage") or 0),
        "usage_in_kernelmode": int(cpu.get("system") or 0),
        "usage_in_usermode": int(cpu.get("user") or 0),
    }
    if cpu.get("per_cpu"):
        usage["percpu_usage"] = cpu["per_cpu"]
    return {
        "cpu_usage": usage,
        "system_cpu_usage": _system_time(),
        "online_cpus": int(raw.get("online_cpus") or os.cpu_count() or 1),
        "throttling_data": {
            "periods": int(cpu.get("periods") or 0),
            "throttled_periods": int(cpu.get("throttled_periods") or 0),
            "throttled_time": int(cpu.get("throttled_time") or 0),
        },
    }


def _system_time() -> int:
    with open("/proc/stat", encoding="ascii") as file:
        words = file.readline().split()
    # docker: user to steal, in nanoseconds.
    return sum(int(word) for word in words[1:8]) * 10**9 // os.sysconf("SC_CLK_TCK")


def _memory(raw: Mapping[str, Any]) -> dict[str, Any]:
    limit = int(raw.get("limit") or 0)
    if not limit or limit > _UNLIMITED:
        limit = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    shown: dict[str, Any] = {
        "usage": int(raw.get("usage") or 0),
        "stats": dict(raw.get("detail") or {}),
        "limit": limit,
    }
    if raw.get("max_usage"):
        shown["max_usage"] = raw["max_usage"]
    if raw.get("failcnt"):
        shown["failcnt"] = raw["failcnt"]
    return shown


def _blkio(raw: Mapping[str, Any]) -> dict[str, Any]:
    def rows(name: str) -> list[dict[str, Any]] | None:
        return [
            {"major": major, "minor": minor, "op": str(op), "value": value}
            for major, minor, op, value in raw.get(name) or ()
        ] or None

    return {
        "io_service_bytes_recursive": rows("bytes"),
        "io_serviced_recursive": rows("ios"),
        "io_queue_recursive": None,
        "io_service_time_recursive": None,
        "io_wait_time_recursive": None,
        "io_merged_recursive": None,
        "io_time_recursive": None,
        "sectors_recursive": None,
    }


def _networks(pid: int) -> dict[str, dict[str, int]]:
    """The counters of the container's interfaces, from the view of its first process."""
    try:
        with open(f"/proc/{pid}/net/dev", encoding="ascii") as file:
            lines = file.read().splitlines()[2:]
    except OSError:
        return {}
    found = {}
    for line in lines:
        name, _, rest = line.partition(":")
        numbers = [int(word) for word in rest.split()]
        if name.strip() == "lo" or len(numbers) < 12:
            continue
        found[name.strip()] = {
            "rx_bytes": numbers[0],
            "rx_packets": numbers[1],
            "rx_errors": numbers[2],
            "rx_dropped": numbers[3],
            "tx_bytes": numbers[8],
            "tx_packets": numbers[9],
            "tx_errors": numbers[10],
            "tx_dropped": numbers[11],
        }
    return found
