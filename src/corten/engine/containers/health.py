"""Health checks: probes at intervals, and the verdict after a streak.

Owns: the timing (start period, start interval, retries), the record of the last probes, and the events.  A probe runs
as an exec in the container, straight on the task (it is no exec that anybody lists), or natively: ``probes.py``.  What
is done about an unhealthy container, if its label asks for it, is ``lifecycle.py``'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from corten.api.framing import Decoder
from corten.api.times import rfc3339
from corten.engine.containers import lower, probes
from corten.engine.containers.ground import Ground
from corten.engine.containers.live import Live
from corten.engine.containers.model import Container, HealthRecord
from corten.errors import CortenError
from corten.supervisor.service import Task

HEALTHY, UNHEALTHY, STARTING = "healthy", "unhealthy", "starting"
_KEPT, _OUTPUT_LIMIT = 5, 4096
_DEFAULT_SHELL = ["/bin/sh", "-c"]

ON_FAILURE_LABEL = "corten.health-on-failure"
ON_FAILURE = ("none", "restart", "stop", "kill")
"""What the label may ask for when a container becomes unhealthy."""


@dataclass(frozen=True, slots=True)
class Check:
    """``Config.Healthcheck`` in seconds, with Docker's defaults."""

    args: tuple[str, ...]
    kind: str = "CMD"
    interval: float = 30.0
    timeout: float = 30.0
    start_period: float = 0.0
    start_interval: float = 5.0
    retries: int = 3

    @classmethod
    def parse(cls, config: Mapping[str, Any]) -> Check | None:
        """None where there is no probe or it is switched off."""
        given = config.get("Healthcheck") or {}
        test = given.get("Test") or []
        kind = test[0] if test else "NONE"
        if kind == "CMD-SHELL":
            args = [*(config.get("Shell") or _DEFAULT_SHELL), *test[1:2]]
        elif kind == "CMD" or kind in probes.KINDS:
            args = test[1:]
        else:
            return None
        return cls(
            tuple(args),
            kind if kind in probes.KINDS else "CMD",
            _seconds(given, "Interval", 30.0),
            _seconds(given, "Timeout", 30.0),
            _seconds(given, "StartPeriod", 0.0),
            _seconds(given, "StartInterval", 5.0),
            given.get("Retries") or 3,
        )


def _seconds(given: Mapping[str, Any], name: str, default: float) -> float:
    return (given.get(name) or 0) / 1e9 or default


def has_probe(record: Container) -> bool:
    """True if the container is to be probed."""
    return Check.parse(record.config) is not None


def judge(health: HealthRecord, result: Mapping[str, Any], check: Check, in_start_period: bool) -> str:
    """Write a probe's result down; returns the status from then on.  Pure but for the record."""
    health.log = [*health.log[-(_KEPT - 1) :], dict(result)]
    if result["ExitCode"] == 0:
        health.failing_streak = 0
        return HEALTHY
    if in_start_period and health.status == STARTING:
        return STARTING
    health.failing_streak += 1
    return UNHEALTHY if health.failing_streak >= check.retries else health.status


class Monitor:
    """Probes one running container until it is cancelled."""

    def __init__(self, ground: Ground, live: Live, task: Task, on_unhealthy: Callable[[Live, str], None]) -> None:
        self._ground = ground
        self._live = live
        self._task = task
        self._on_unhealthy = on_unhealthy

    async def run(self) -> None:
        """Probe, judge, wait, again."""
        check = Check.parse(self._live.record.config)
        health = self._live.record.state.health
        if check is None or health is None:
            return
        begun = self._live.record.state.started_at or time.time()
        while True:
            in_start_period = time.time() - begun < check.start_period
            is_starting = in_start_period and health.status == STARTING
            await asyncio.sleep(min(check.interval, check.start_interval) if is_starting else check.interval)
            if self._live.record.state.status != "running":
                continue
            result = await self._probe(check)
            self._conclude(health, judge(health, result, check, time.time() - begun < check.start_period))

    def _conclude(self, health: HealthRecord, status: str) -> None:
        changed, health.status = status != health.status, status
        self._ground.roster.save(self._live)
        if changed:
            self._ground.publish(self._live, f"health_status: {status}")
            wish = self._live.record.labels.get(ON_FAILURE_LABEL, "none")
            if status == UNHEALTHY and wish in ON_FAILURE and wish != "none":
                self._on_unhealthy(self._live, wish)

    async def _probe(self, check: Check) -> dict[str, Any]:
        begun = time.time()
        try:
            if check.kind == "CMD":
                code, output = await self._execute(check)
            else:
                code, output = await asyncio.wait_for(
                    probes.probe(self._task, check.kind, check.args[0]), check.timeout
                )
        except TimeoutError:
            code, output = -1, f"Health check exceeded timeout ({check.timeout:g}s)"
        except (CortenError, OSError) as error:
            code, output = -1, str(error)
        return {"Start": rfc3339(begun), "End": rfc3339(time.time()), "ExitCode": code, "Output": output}

    async def _execute(self, check: Check) -> tuple[int, str]:
        record, exec_id = self._live.record, secrets.token_hex(32)
        process = lower.exec_process(record, list(check.args))
        name = " ".join(check.args)
        self._ground.publish(self._live, f"exec_create: {name}", execID=exec_id)
        stream = await self._task.attach(exec_id=exec_id, stdin=False, stdout=True, stderr=True)
        try:
            await self._task.exec(exec_id, process, tty=False, stdin=False)
            self._ground.publish(self._live, f"exec_start: {name}", execID=exec_id)
            output = await asyncio.wait_for(_read(stream), check.timeout)
            ended = await asyncio.wait_for(self._task.wait(exec_id), check.timeout)
        except TimeoutError:
            with contextlib.suppress(CortenError, OSError):
                await self._task.signal(signal.SIGKILL, exec_id=exec_id)
            raise
        finally:
            stream.close()
        self._ground.publish(self._live, "exec_die", execID=exec_id, exitCode=str(ended.status))
        return ended.status, output


async def _read(stream: socket.socket) -> str:
    decoder, kept = Decoder(), bytearray()
    loop = asyncio.get_running_loop()
    while data := await loop.sock_recv(stream, 65536):
        for frame in decoder.feed(data):
            kept += frame.data[: max(_OUTPUT_LIMIT - len(kept), 0)]
    return kept.decode(errors="replace")
