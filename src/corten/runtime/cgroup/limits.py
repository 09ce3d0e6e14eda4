"""OCI ``linux.resources`` to file writes, for both versions.  Pure: nothing is written here.

The standard's numbers are v1's; what v2 makes of shares and weights follows the conversion all runtimes use.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Resources = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Write:
    """``value`` into ``file`` of ``controller``.  An optional one may be missing on this kernel."""

    controller: str
    file: str
    value: str
    optional: bool = False


def lower_v1(resources: Resources) -> list[Write]:
    """Writes for the v1 hierarchies, in an order that works for a new group."""
    return [*_memory_v1(resources), *_cpu_v1(resources), *_pids(resources), *_blkio_v1(resources), *_huge_v1(resources)]


def lower_v2(resources: Resources) -> list[Write]:
    """Writes for the one v2 group."""
    return [
        *_memory_v2(resources),
        *_cpu_v2(resources),
        *_pids(resources),
        *_io_v2(resources),
        *_huge_v2(resources),
        *(Write(name.partition(".")[0], name, str(value)) for name, value in (resources.get("unified") or {}).items()),
    ]


def _memory_v1(resources: Resources) -> Iterator[Write]:
    memory = resources.get("memory") or {}
    if (limit := memory.get("limit")) not in (None, 0):
        yield Write("memory", "memory.limit_in_bytes", str(limit))
    if (swap := memory.get("swap")) not in (None, 0):
        yield Write("memory", "memory.memsw.limit_in_bytes", str(swap), optional=True)
    if memory.get("reservation"):
        yield Write("memory", "memory.soft_limit_in_bytes", str(memory["reservation"]))
    if memory.get("swappiness") is not None:
        yield Write("memory", "memory.swappiness", str(memory["swappiness"]))
    if memory.get("disableOOMKiller"):
        yield Write("memory", "memory.oom_control", "1")


def _cpu_v1(resources: Resources) -> Iterator[Write]:
    cpu = resources.get("cpu") or {}
    if cpu.get("shares"):
        yield Write("cpu", "cpu.shares", str(cpu["shares"]))
    if cpu.get("period"):
        yield Write("cpu", "cpu.cfs_period_us", str(cpu["period"]))
    if cpu.get("quota"):
        yield Write("cpu", "cpu.cfs_quota_us", str(cpu["quota"]))
    if cpu.get("realtimePeriod"):
        yield Write("cpu", "cpu.rt_period_us", str(cpu["realtimePeriod"]))
    if cpu.get("realtimeRuntime"):
        yield Write("cpu", "cpu.rt_runtime_us", str(cpu["realtimeRuntime"]))
    yield from _cpuset(cpu)


def _cpuset(cpu: Resources) -> Iterator[Write]:
    if cpu.get("cpus"):
        yield Write("cpuset", "cpuset.cpus", str(cpu["cpus"]))
    if cpu.get("mems"):
        yield Write("cpuset", "cpuset.mems", str(cpu["mems"]))


def _pids(resources: Resources) -> Iterator[Write]:
    limit = (resources.get("pids") or {}).get("limit")
    if limit not in (None, 0):
        yield Write("pids", "pids.max", str(limit) if limit > 0 else "max")


_THROTTLES = (  # OCI's name, v1's file, v2's key
    ("throttleReadBpsDevice", "blkio.throttle.read_bps_device", "rbps"),
    ("throttleWriteBpsDevice", "blkio.throttle.write_bps_device", "wbps"),
    ("throttleReadIOPSDevice", "blkio.throttle.read_iops_device", "riops"),
    ("throttleWriteIOPSDevice", "blkio.throttle.write_iops_device", "wiops"),
)


def _blkio_v1(resources: Resources) -> Iterator[Write]:
    blkio = resources.get("blockIO") or {}
    if blkio.get("weight"):
        # Which of the two files exists depends on the scheduler built in; neither is an error.
        yield Write("blkio", "blkio.weight", str(blkio["weight"]), optional=True)
        yield Write("blkio", "blkio.bfq.weight", str(blkio["weight"]), optional=True)
    for device in blkio.get("weightDevice") or ():
        text = f"{device['major']}:{device['minor']} {device.get('weight', 0)}"
        yield Write("blkio", "blkio.weight_device", text, optional=True)
        yield Write("blkio", "blkio.bfq.weight_device", text, optional=True)
    for name, file, _ in _THROTTLES:
        for device in blkio.get(name) or ():
            yield Write("blkio", file, f"{device['major']}:{device['minor']} {device['rate']}")


def _huge_v1(resources: Resources) -> Iterator[Write]:
    for each in resources.get("hugepageLimits") or ():
        yield Write("hugetlb", f"hugetlb.{each['pageSize']}.limit_in_bytes", str(each["limit"]))


def _limit_v2(value: int) -> str:
    return "max" if value < 0 else str(value)


def _memory_v2(resources: Resources) -> Iterator[Write]:
    memory = resources.get("memory") or {}
    limit, swap = memory.get("limit"), memory.get("swap")
    if swap:
        # OCI counts memory and swap together; v2 counts swap alone.
        alone = swap if swap < 0 else swap - (limit or 0) if limit and limit > 0 else None
        if alone is not None:
            yield Write("memory", "memory.swap.max", _limit_v2(alone), optional=True)
    if limit:
        yield Write("memory", "memory.max", _limit_v2(limit))
    if memory.get("reservation"):
        yield Write("memory", "memory.low", _limit_v2(memory["reservation"]))


def weight_of_shares(shares: int) -> int:
    """2…262144 to 1…10000, linearly."""
    return 1 + (min(max(shares, 2), 262144) - 2) * 9999 // 262142


def weight_of_blkio(weight: int) -> int:
    """10…1000 to 1…10000, linearly."""
    return 1 + (min(max(weight, 10), 1000) - 10) * 9999 // 990


def _cpu_v2(resources: Resources) -> Iterator[Write]:
    cpu = resources.get("cpu") or {}
    if cpu.get("shares"):
        yield Write("cpu", "cpu.weight", str(weight_of_shares(cpu["shares"])))
    quota, period = cpu.get("quota"), cpu.get("period")
    if quota or period:
        yield Write("cpu", "cpu.max", f"{quota if quota and quota > 0 else 'max'} {period or 100000}")
    yield from _cpuset(cpu)


def _io_v2(resources: Resources) -> Iterator[Write]:
    blkio = resources.get("blockIO") or {}
    if blkio.get("weight"):
        yield Write("io", "io.bfq.weight", str(blkio["weight"]), optional=True)
        yield Write("io", "io.weight", f"default {weight_of_blkio(blkio['weight'])}", optional=True)
    for device in blkio.get("weightDevice") or ():
        text = f"{device['major']}:{device['minor']} {weight_of_blkio(device.get('weight') or 10)}"
        yield Write("io", "io.weight", text, optional=True)
    for name, _, key in _THROTTLES:
        for device in blkio.get(name) or ():
            yield Write("io", "io.max", f"{device['major']}:{device['minor']} {key}={device['rate']}")


def _huge_v2(resources: Resources) -> Iterator[Write]:
    for each in resources.get("hugepageLimits") or ():
        yield Write("hugetlb", f"hugetlb.{each['pageSize']}.max", str(each["limit"]))
