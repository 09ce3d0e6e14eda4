"""Reading a container's numbers; the shape is the same for both versions and is told in supervisor/model.py."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from corten.runtime.cgroup.files import read, read_number, read_table

_TICK_NS = 10_000_000  # USER_HZ is 100 everywhere
_UNLIMITED = 1 << 62  # v1 prints a huge number for "no limit"


def read_v1(directories: Mapping[str, str]) -> dict[str, Any]:
    """``directories``: controller to the group's directory."""
    body: dict[str, Any] = {"version": 1, "read_at": time.time(), "online_cpus": os.cpu_count() or 1}
    if directory := directories.get("cpuacct"):
        split = read_table(f"{directory}/cpuacct.stat")
        body["cpu"] = {
            "usage": read_number(f"{directory}/cpuacct.usage") or 0,
            "user": split.get("user", 0) * _TICK_NS,
            "system": split.get("system", 0) * _TICK_NS,
            "per_cpu": [int(word) for word in read(f"{directory}/cpuacct.usage_percpu").split()],
        }
    if directory := directories.get("cpu"):
        throttling = read_table(f"{directory}/cpu.stat")
        body.setdefault("cpu", {}).update(
            periods=throttling.get("nr_periods", 0),
            throttled_periods=throttling.get("nr_throttled", 0),
            throttled_time=throttling.get("throttled_time", 0),
        )
    if directory := directories.get("memory"):
        detail = read_table(f"{directory}/memory.stat")
        limit = read_number(f"{directory}/memory.limit_in_bytes")
        body["memory"] = {
            "usage": read_number(f"{directory}/memory.usage_in_bytes") or 0,
            "max_usage": read_number(f"{directory}/memory.max_usage_in_bytes") or 0,
            "limit": limit if limit is not None and limit < _UNLIMITED else 0,
            "failcnt": read_number(f"{directory}/memory.failcnt") or 0,
            "oom_kills": read_table(f"{directory}/memory.oom_control").get("oom_kill", 0),
            "inactive_file": detail.get("total_inactive_file", detail.get("inactive_file", 0)),
            "detail": detail,
        }
    if directory := directories.get("pids"):
        body["pids"] = _pids(directory)
    if directory := directories.get("blkio"):
        body["blkio"] = {
            "bytes": _blkio_v1(f"{directory}/blkio.throttle.io_service_bytes_recursive"),
            "ios": _blkio_v1(f"{directory}/blkio.throttle.io_serviced_recursive"),
        }
    return body


def read_v2(directory: str) -> dict[str, Any]:
    """The one group."""
    cpu = read_table(f"{directory}/cpu.stat")
    detail = read_table(f"{directory}/memory.stat")
    return {
        "version": 2,
        "read_at": time.time(),
        "online_cpus": os.cpu_count() or 1,
        "cpu": {
            "usage": cpu.get("usage_usec", 0) * 1000,
            "user": cpu.get("user_usec", 0) * 1000,
            "system": cpu.get("system_usec", 0) * 1000,
            "per_cpu": [],
            "periods": cpu.get("nr_periods", 0),
            "throttled_periods": cpu.get("nr_throttled", 0),
            "throttled_time": cpu.get("throttled_usec", 0) * 1000,
        },
        "memory": {
            "usage": read_number(f"{directory}/memory.current") or 0,
            "max_usage": read_number(f"{directory}/memory.peak") or 0,
            "limit": read_number(f"{directory}/memory.max") or 0,
            "failcnt": read_table(f"{directory}/memory.events").get("max", 0),
            "oom_kills": read_table(f"{directory}/memory.events").get("oom_kill", 0),
            "inactive_file": detail.get("inactive_file", 0),
            "detail": detail,
        },
        "pids": _pids(directory),
        "blkio": _io_v2(read(f"{directory}/io.stat")),
    }


def _pids(directory: str) -> dict[str, int]:
    return {
        "current": read_number(f"{directory}/pids.current") or 0,
        "limit": read_number(f"{directory}/pids.max") or 0,
    }


def _blkio_v1(path: str) -> list[list[Any]]:
    rows: list[list[Any]] = []
    for line in read(path).splitlines():
        words = line.split()
        if len(words) == 3 and words[1] in ("Read", "Write"):
            major, _, minor = words[0].partition(":")
            rows.append([int(major), int(minor), words[1].lower(), int(words[2])])
    return rows


def _io_v2(text: str) -> dict[str, list[list[Any]]]:
    body: dict[str, list[list[Any]]] = {"bytes": [], "ios": []}
    for line in text.splitlines():
        device, *pairs = line.split()
        major, _, minor = device.partition(":")
        numbers = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
        for key, kind, direction in (
            ("rbytes", "bytes", "read"),
            ("wbytes", "bytes", "write"),
            ("rios", "ios", "read"),
            ("wios", "ios", "write"),
        ):
            if numbers.get(key, "").isdigit():
                body[kind].append([int(major), int(minor), direction, int(numbers[key])])
    return body
