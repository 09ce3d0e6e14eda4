"""``corten update``: other limits, another restart policy, other published ports for containers."""

from __future__ import annotations

from typing import Any

from corten.cli import values
from corten.cli.command import Call, Command, Exit
from corten.cli.containers import ports, restart
from corten.client import paths

SIZES = {"memory": "Memory", "memory-reservation": "MemoryReservation", "memory-swap": "MemorySwap"}
NUMBERS = {
    "blkio-weight": "BlkioWeight",
    "cpu-period": "CpuPeriod",
    "cpu-quota": "CpuQuota",
    "cpu-rt-period": "CpuRealtimePeriod",
    "cpu-rt-runtime": "CpuRealtimeRuntime",
    "cpu-shares": "CpuShares",
    "pids-limit": "PidsLimit",
}
PORTS = {"publish-add": "PublishAdd", "publish-rm": "PublishRemove"}
TEXTS = {"cpuset-cpus": "CpusetCpus", "cpuset-mems": "CpusetMems"}


def run(call: Call) -> int:
    """Update each."""
    wanted = body(call)
    if not wanted:
        raise Exit(1, "you must provide one or more flags when using this command")
    warnings: list[str] = []

    def update(name: str) -> None:
        answer = call.session.post(paths.container(name, "/update"), body=wanted)
        warnings.extend((answer or {}).get("Warnings") or ())

    status = call.for_each(update)
    if warnings:
        print("\n".join(warnings))
    return status


def body(call: Call) -> dict[str, Any]:
    """Only what was given: the daemon leaves the rest as it is."""
    options = call.options
    found: dict[str, Any] = {field: options.size(flag) for flag, field in SIZES.items() if options.given(flag)}
    found |= {field: options.number(flag) for flag, field in NUMBERS.items() if options.given(flag)}
    found |= {field: options.text(flag) for flag, field in TEXTS.items() if options.given(flag)}
    if options.given("cpus"):
        found["NanoCpus"] = values.parse_cpus(options.text("cpus"))
    if options.given("restart"):
        found["RestartPolicy"] = restart.parse(options.text("restart"))
    for flag, field in PORTS.items():
        if options.given(flag):
            found[field] = ports.bindings(options.many(flag))
    return found


COMMAND = Command(
    run,
    "[OPTIONS] CONTAINER [CONTAINER...]",
    """
        --blkio-weight=uint16        Block IO (relative weight), between 10 and 1000, or 0 to disable
        --cpu-period=int             Limit CPU CFS (Completely Fair Scheduler) period
        --cpu-quota=int              Limit CPU CFS (Completely Fair Scheduler) quota
        --cpu-rt-period=int          Limit the CPU real-time period in microseconds
        --cpu-rt-runtime=int         Limit the CPU real-time runtime in microseconds
    -c, --cpu-shares=int             CPU shares (relative weight)
        --cpus=decimal               Number of CPUs
        --cpuset-cpus=string         CPUs in which to allow execution (0-3, 0,1)
        --cpuset-mems=string         MEMs in which to allow execution (0-3, 0,1)
    -m, --memory=bytes               Memory limit
        --memory-reservation=bytes   Memory soft limit
        --memory-swap=bytes          Swap limit equal to memory plus swap: -1 to enable unlimited swap
        --pids-limit=int             Tune container pids limit (set -1 for unlimited)
        --publish-add=list           Publish further ports, at once and from now on
        --publish-rm=list            Withdraw published ports
        --restart=string             Restart policy to apply when a container exits
    """,
    least=1,
)
