"""Limits on CPU, memory, pids and block devices: which make sense, and what they are in an OCI spec.

Owns: the resource fields of HostConfig, for create and for update: dockerd's refusals and ``linux.resources``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from corten.errors import Invalid

_MINIMUM_MEMORY = 6 << 20
_NANO = 10**9
_PERIOD = 100_000
_REALTIME = "/sys/fs/cgroup/cpu/cpu.rt_runtime_us"  # groups have it in version 1 only
_LARGEST_MEMBER = 8191
_CPUSET = re.compile(r"\d+(-\d+)?(,\d+(-\d+)?)*\Z")
_RULE = re.compile(r"(?P<type>[acb])\s+(?P<major>\d+|\*):(?P<minor>\d+|\*)\s+(?P<access>[rwm]{1,3})\Z")


def check(host: Mapping[str, Any]) -> None:
    """Raise Invalid, in dockerd's words, for limits that make no sense."""
    _check_memory(host)
    _check_cpu(host)
    for field, available in (("CpusetCpus", _online()), ("CpusetMems", "0")):
        _check_set(field, host[field], available)
    if host["IOMaximumBandwidth"] or host["IOMaximumIOps"]:
        what = "bandwidth" if host["IOMaximumBandwidth"] else "IOPs"
        raise Invalid(f"invalid QoS settings: linux does not support configuration of maximum {what}")
    if (weight := host["BlkioWeight"]) and not 10 <= weight <= 1000:
        raise Invalid("Range of blkio weight is from 10 to 1000")
    for rule in host["DeviceCgroupRules"] or ():
        if not _RULE.match(rule):
            raise Invalid(f"invalid device cgroup rule format: '{rule}'")


def _check_memory(host: Mapping[str, Any]) -> None:
    memory, swap, reservation = host["Memory"], host["MemorySwap"], host["MemoryReservation"]
    if memory and memory < _MINIMUM_MEMORY:
        raise Invalid("Minimum memory limit allowed is 6MB")
    if memory > 0 and 0 < swap < memory:
        raise Invalid("Minimum memoryswap limit should be larger than memory limit, see usage")
    if memory == 0 and swap > 0:
        raise Invalid("You should always set the Memory limit when using Memoryswap limit, see usage")
    swappiness = host["MemorySwappiness"]
    if swappiness is not None and not -1 <= swappiness <= 100:
        raise Invalid(f"Invalid value: {swappiness}, valid memory swappiness range is 0-100")
    if 0 < reservation < _MINIMUM_MEMORY:
        raise Invalid("Minimum memory reservation allowed is 6MB")
    if 0 < memory < reservation:
        raise Invalid("Minimum memory limit can not be less than memory reservation limit, see usage")


def _check_cpu(host: Mapping[str, Any]) -> None:
    nano, period, quota = host["NanoCpus"], host["CpuPeriod"], host["CpuQuota"]
    if nano and period:
        raise Invalid("Conflicting options: Nano CPUs and CPU Period cannot both be set.")
    if nano and quota:
        raise Invalid("Conflicting options: Nano CPUs and CPU Quota cannot both be set.")
    count = os.cpu_count() or 1
    if nano and not 10_000_000 <= nano <= count * _NANO:
        raise Invalid(f"Range of CPUs is from 0.01 to {count}.00, as there are only {count} CPUs available")
    if period and not 1000 <= period <= 1_000_000:
        raise Invalid("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)")
    if 0 < quota < 1000:
        raise Invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)")
    if host["CpuShares"] < 0:
        raise Invalid("shares: invalid argument")
    period, runtime = host["CpuRealtimePeriod"], host["CpuRealtimeRuntime"]
    if (period or runtime) and not os.path.exists(_REALTIME):
        raise Invalid("Your kernel does not support CPU real-time scheduler")
    if period and runtime > period:
        raise Invalid("cpu real-time runtime cannot be higher than cpu real-time period")


def _check_set(field: str, value: str, available: str) -> None:
    if not value:
        return
    word = field.removeprefix("Cpuset").lower()
    if any(len(number) > 4 or int(number) > _LARGEST_MEMBER for number in re.findall(r"\d+", value)):
        raise Invalid(f"Invalid value {value} for cpuset {word}: value of out range, maximum is {_LARGEST_MEMBER}")
    if not _CPUSET.match(value) or not members(value):
        raise Invalid(f"Invalid value {value} for cpuset {word}: invalid format: {value}")
    if not members(value) <= members(available):
        title = "CPUs" if word == "cpus" else "memory nodes"
        raise Invalid(f"Requested {title} are not available - requested {value}, available: {available}")


def members(text: str) -> set[int]:
    """``0-2,5`` as numbers."""
    numbers: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        numbers.update(range(int(first), int(last or first) + 1))
    return numbers


def _online() -> str:
    try:
        with open("/sys/devices/system/cpu/online", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return f"0-{(os.cpu_count() or 1) - 1}"


def lower(host: Mapping[str, Any]) -> dict[str, Any]:
    """``linux.resources`` without the device rules."""
    found = {
        "memory": _memory(host),
        "cpu": _cpu(host),
        "blockIO": _block(host),
        "pids": {"limit": host["PidsLimit"]} if host["PidsLimit"] else None,
    }
    return {name: value for name, value in found.items() if value}


def _memory(host: Mapping[str, Any]) -> dict[str, Any]:
    memory, swap = host["Memory"], host["MemorySwap"]
    if memory > 0 and swap == 0:
        swap = memory * 2  # docker: as much swap as memory when nobody says
    swappiness = host["MemorySwappiness"]
    return _set(
        limit=memory,
        swap=swap,
        reservation=host["MemoryReservation"],
        swappiness=None if swappiness == -1 else swappiness,
        disableOOMKiller=host["OomKillDisable"] or None,
    )


def _cpu(host: Mapping[str, Any]) -> dict[str, Any]:
    quota, period = host["CpuQuota"], host["CpuPeriod"]
    if nano := host["NanoCpus"]:
        period, quota = _PERIOD, nano * _PERIOD // _NANO
    return _set(
        shares=host["CpuShares"],
        quota=quota,
        period=period,
        realtimeRuntime=host["CpuRealtimeRuntime"],
        realtimePeriod=host["CpuRealtimePeriod"],
        cpus=host["CpusetCpus"],
        mems=host["CpusetMems"],
    )


def _block(host: Mapping[str, Any]) -> dict[str, Any]:
    return _set(
        weight=host["BlkioWeight"],
        weightDevice=[{**_device(item), "weight": item["Weight"]} for item in host["BlkioWeightDevice"] or ()],
        throttleReadBpsDevice=_throttles(host["BlkioDeviceReadBps"]),
        throttleWriteBpsDevice=_throttles(host["BlkioDeviceWriteBps"]),
        throttleReadIOPSDevice=_throttles(host["BlkioDeviceReadIOps"]),
        throttleWriteIOPSDevice=_throttles(host["BlkioDeviceWriteIOps"]),
    )


def _throttles(items: Any) -> list[dict[str, Any]]:
    return [{**_device(item), "rate": item["Rate"]} for item in items or ()]


def _device(item: Mapping[str, Any]) -> dict[str, Any]:
    try:
        number = os.stat(item["Path"]).st_rdev
    except OSError as error:
        raise Invalid(f"{item['Path']}: {error.strerror}") from error
    return {"major": os.major(number), "minor": os.minor(number)}


def _set(**values: Any) -> dict[str, Any]:
    """What was given a value; 0 and "" mean unset in HostConfig, but a swappiness of 0 is a value."""
    return {name: value for name, value in values.items() if value or (name == "swappiness" and value is not None)}


def device_rule(text: str) -> dict[str, Any]:
    """``c 1:3 rwm`` as an OCI rule; checked before by ``check``."""
    found = _RULE.match(text)
    if found is None:
        raise Invalid(f"invalid device cgroup rule format: '{text}'")
    rule: dict[str, Any] = {"allow": True, "type": found["type"], "access": found["access"]}
    for name in ("major", "minor"):
        if found[name] != "*":
            rule[name] = int(found[name])
    return rule
