"""OCI resources to control group files."""

from __future__ import annotations

from corten.runtime.cgroup import devices
from corten.runtime.cgroup.limits import Write, lower_v1, lower_v2, weight_of_blkio, weight_of_shares

RESOURCES = {
    "memory": {"limit": 100, "swap": 150, "reservation": 50},
    "cpu": {"shares": 1024, "quota": 50000, "period": 100000, "cpus": "0-1"},
    "pids": {"limit": -1},
    "blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1000}]},
}


def test_version_1() -> None:
    assert lower_v1(RESOURCES) == [
        Write("memory", "memory.limit_in_bytes", "100"),
        Write("memory", "memory.memsw.limit_in_bytes", "150", optional=True),
        Write("memory", "memory.soft_limit_in_bytes", "50"),
        Write("cpu", "cpu.shares", "1024"),
        Write("cpu", "cpu.cfs_period_us", "100000"),
        Write("cpu", "cpu.cfs_quota_us", "50000"),
        Write("cpuset", "cpuset.cpus", "0-1"),
        Write("pids", "pids.max", "max"),
        Write("blkio", "blkio.throttle.read_bps_device", "8:0 1000"),
    ]


def test_version_2() -> None:
    assert lower_v2(RESOURCES) == [
        Write("memory", "memory.swap.max", "50", optional=True),
        Write("memory", "memory.max", "100"),
        Write("memory", "memory.low", "50"),
        Write("cpu", "cpu.weight", "39"),
        Write("cpu", "cpu.max", "50000 100000"),
        Write("cpuset", "cpuset.cpus", "0-1"),
        Write("pids", "pids.max", "max"),
        Write("io", "io.max", "8:0 rbps=1000"),
    ]
    assert lower_v2({"memory": {"limit": -1, "swap": -1}}) == [
        Write("memory", "memory.swap.max", "max", optional=True),
        Write("memory", "memory.max", "max"),
    ]
    assert lower_v2({}) == lower_v1({}) == []


def test_weights_keep_their_ends() -> None:
    assert [weight_of_shares(each) for each in (0, 2, 262144, 10**9)] == [1, 1, 10000, 10000]
    assert [weight_of_blkio(each) for each in (10, 1000)] == [1, 10000]


def test_devices() -> None:
    deny = {"allow": False, "access": "rwm"}
    listed = devices.rules({"devices": [deny, {"allow": True, "type": "c", "major": 10, "minor": 200, "access": "rw"}]})
    assert devices.line(listed[0]) == "a"
    assert not listed[0].allow
    assert devices.line(listed[-1]) == "c 10:200 rw"
    assert [devices.line(each) for each in devices.rules({})][1] == "c *:* m"
    assert devices.allows_everything(devices.rules({"devices": [{"allow": True, "access": "rwm"}]}))
    assert not devices.allows_everything(listed)
