"""What happens to a container: start, end, restart, stop, kill, pause.

Owns: when each may happen, what is written down and told, and in which order waiters are answered.  How a start is
made is in ``start.py``, when one follows an end in ``policy.py``, removal in ``removal.py``.

A lock for each container covers start, pause and removal.  An end is not under the lock: it comes when it comes, and
all that it changes it changes without awaiting.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time

from corten.engine.containers import health, policy, signals, start
from corten.engine.containers.ground import Ground
from corten.engine.containers.live import Ending, Live
from corten.engine.containers.model import HealthRecord
from corten.engine.containers.removal import Removal
from corten.engine.containers.status import Status
from corten.errors import Conflict, CortenError, Internal, Invalid, NotModified
from corten.supervisor.model import ExitRecord, StartFailure
from corten.supervisor.service import Task

log = logging.getLogger(__name__)

DEFAULT_STOP_TIMEOUT = 10
END_ON_ITS_WAY = 2.0
# After SIGKILL a process ends unless the kernel holds it; then we say so instead of waiting for ever.
KILL_PATIENCE = 10.0


class Lifecycle:
    """The moves of containers."""

    def __init__(self, ground: Ground, removal: Removal) -> None:
        self._ground = ground
        self._removal = removal
        self._is_closing = False

    def close(self) -> None:
        """The daemon ends: containers run on, nothing is started any more."""
        self._is_closing = True

    # -- start -------------------------------------------------------------------------------------------------

    async def start(self, live: Live) -> None:
        """Start a container; raises NotModified if it runs, and what a start may raise."""
        async with live.lock:
            self._check_start(live)
            self._cancel_restart(live)
            live.record.has_been_stopped_by_hand = False
            live.record.restart_count = 0
            live.restart_delay = 0.0
            try:
                await self._start(live)
            except BaseException:
                if live.record.auto_remove and self._ground.roster.holds(live):
                    self._ground.background.start(self._auto_remove(live), f"removing {live.record.short_id}")
                raise

    def _check_start(self, live: Live) -> None:
        record = live.record
        if not self._ground.roster.holds(live) or record.state.status in (Status.REMOVING, Status.DEAD):
            raise Conflict("container is marked for removal and cannot be started")
        if record.state.status is Status.PAUSED:
            raise Conflict("cannot start a paused container, try unpause instead")
        if record.is_running:
            raise NotModified("container is already started")

    async def _start(self, live: Live) -> None:
        if live.teardown is not None:
            await live.teardown
        record = live.record
        live.starts += 1
        try:
            task = await start.bring_up(self._ground, live)
        except BaseException as error:
            self._start_failed(live, error)
            if isinstance(error, StartFailure):
                raise told(error) from error
            raise
        record.state.health = None  # docker: each run begins as "starting"
        self.adopt(live, task)
        record.state.started_at = task.started_at or time.time()
        record.has_been_started = True
        self._ground.roster.save(live)
        self._ground.publish(live, "start")

    def adopt(self, live: Live, task: Task) -> None:
        """A task runs: after a start, or found again after a daemon restart."""
        state = live.record.state
        live.task = task
        live.ended.clear()
        if not live.record.is_running:
            state.move(Status.RUNNING)
        state.pid, state.exit_code, state.error, state.oom_killed = task.pid, 0, "", False
        self._ground.background.start(self._watch(live, task), f"watching {live.record.short_id}")
        if health.has_probe(live.record):
            state.health = state.health or HealthRecord()
            live.health = self._ground.background.start(
                health.Monitor(self._ground, live, task, self._on_unhealthy).run(), f"health of {live.record.short_id}"
            )

    def _on_unhealthy(self, live: Live, wish: str) -> None:
        """Do what the container's label asks for; the monitor, which tells us, ends with the container."""
        log.warning("container %s is unhealthy: %s", live.record.short_id, wish)
        self._ground.background.start(self._remedy(live, wish), f"{wish} of unhealthy {live.record.short_id}")

    async def _remedy(self, live: Live, wish: str) -> None:
        try:
            if wish == "restart":
                await self.restart(live)
            elif wish == "stop":
                await self.stop(live)
            else:
                await self.kill(live, signal.SIGKILL)
        except (Conflict, NotModified) as error:
            log.info("container %s: %s", live.record.short_id, error.message)

    def _start_failed(self, live: Live, error: BaseException) -> None:
        record = live.record
        code = error.exit_code if isinstance(error, StartFailure) else 128
        record.state.exit_code = code
        record.state.error = error.message if isinstance(error, CortenError) else str(error)
        if record.state.status is not Status.CREATED:
            record.state.move(Status.EXITED)
        for pending in live.pending:
            if not pending.future.done():
                pending.future.set_result(None)
        live.pending.clear()
        live.tell_waiters(Ending(code, record.state.error), removed=False)
        self._ground.roster.save(live)

    # -- end ---------------------------------------------------------------------------------------------------

    async def _watch(self, live: Live, task: Task) -> None:
        self.ended(live, task, await task.wait())

    def ended(self, live: Live, task: Task | None, exit: ExitRecord) -> None:
        """A task has ended.  Waiters are answered before anything is cleaned up.  Never awaits."""
        record, state = live.record, live.record.state
        if live.task is not task or not record.is_running:
            return
        live.task = None
        ran_for = exit.finished_at - (state.started_at or exit.finished_at)
        state.pid, state.exit_code, state.error = 0, exit.status, exit.error
        state.oom_killed, state.finished_at = exit.oom_killed, exit.finished_at
        again = not self._is_closing and policy.restarts(record, exit.status)
        state.move(Status.RESTARTING if again else Status.EXITED)
        live.ended.set()
        if live.health is not None:
            live.health.cancel()
            live.health = None
            if state.health is not None:
                state.health.status = health.UNHEALTHY  # docker: so it is called once nobody probes any more
        live.tell_waiters(Ending(exit.status, exit.error), removed=False)
        goes = record.auto_remove and not again and not live.is_coming_back
        if not goes:  # what is left of a removal is found by its bundle's exit record
            self._ground.roster.save(live)
        if exit.oom_killed:
            self._ground.publish(live, "oom")
        self._ground.publish(live, "die", exitCode=str(exit.status), execDuration=str(int(max(ran_for, 0))))
        name = f"clean-up of {record.short_id}"
        live.teardown = self._ground.background.start(self._tear_down(live, task), name)
        if again:
            live.restart_delay = policy.delay_after(live.restart_delay, ran_for)
            live.restart_timer = self._ground.background.start(self._restart_later(live), f"restart {record.short_id}")
        elif goes:
            self._ground.background.start(self._auto_remove(live), f"removing {record.short_id}")

    async def _tear_down(self, live: Live, task: Task | None) -> None:
        await start.give_back(self._ground, live)
        if task is not None:
            await task.unmounted()
            self._ground.background.start(task.delete(), f"deleting task {live.record.short_id}")

    async def _restart_later(self, live: Live) -> None:
        await asyncio.sleep(live.restart_delay)
        async with live.lock:
            if live.record.state.status is not Status.RESTARTING or not self._ground.roster.holds(live):
                return
            live.record.restart_count += 1
            live.restart_timer = None
            try:
                await self._start(live)
            except CortenError as error:
                log.warning("restarting %s: %s", live.record.short_id, error)

    def _cancel_restart(self, live: Live) -> None:
        if live.restart_timer is not None:
            live.restart_timer.cancel()
            live.restart_timer = None

    async def _auto_remove(self, live: Live) -> None:
        async with live.lock:
            if not self._ground.roster.holds(live) or live.record.is_running:
                return
            await self._removal.remove(live, with_volumes=True)

    # -- stop, kill, restart -----------------------------------------------------------------------------------

    async def stop(self, live: Live, timeout: int | None = None, signum: int | None = None) -> None:
        """Ask the container to end, and kill it after ``timeout`` seconds; raises NotModified if it does not run."""
        if not live.record.is_active:
            raise NotModified("container is already stopped")
        live.record.has_been_stopped_by_hand = True
        await self._bring_down(live, timeout, signum)
        self._ground.roster.save(live)
        self._ground.publish(live, "stop")

    async def _bring_down(self, live: Live, timeout: int | None, signum: int | None) -> None:
        record = live.record
        self._cancel_restart(live)
        if record.state.status is Status.RESTARTING:
            record.state.move(Status.EXITED)
            return
        if timeout is None:
            configured = record.config["StopTimeout"]
            timeout = DEFAULT_STOP_TIMEOUT if configured is None else configured
        signum = signum or signals.number(record.config["StopSignal"] or "SIGTERM")
        if signum != signal.SIGKILL:
            await self._send(live, signum)
            if await self._has_ended(live, None if timeout < 0 else float(timeout)):
                return
        await self._send(live, signal.SIGKILL)
        if not await self._has_ended(live, KILL_PATIENCE):
            raise Internal(
                f"cannot stop container: {record.id}: tried to kill container, but did not receive an exit event"
            )

    async def _send(self, live: Live, signum: int) -> None:
        task = live.task
        if task is None:
            return
        # Told before it is sent: afterwards the container's end might be told first.
        self._ground.publish(live, "kill", signal=str(signum))
        try:
            await task.signal(signum)
            if live.record.state.status is Status.PAUSED:
                await task.resume()  # a frozen process cannot take the signal
                self._unpaused(live)
        except (CortenError, ProcessLookupError):
            # The end may be on its way: the shim's channel closes before its exit record has been read.
            if live.task is task and not await self._has_ended(live, END_ON_ITS_WAY):
                raise

    async def _has_ended(self, live: Live, timeout: float | None) -> bool:
        try:
            await asyncio.wait_for(live.ended.wait(), timeout)
        except TimeoutError:
            return False
        return True

    async def kill(self, live: Live, signum: int) -> None:
        """Send a signal; waits for the end if it is SIGKILL; raises Conflict if the container does not run."""
        record = live.record
        if not record.is_running:
            raise Conflict(f"cannot kill container: {record.id}: container {record.id} is not running")
        record.has_been_stopped_by_hand = True
        self._cancel_restart(live)
        await self._send(live, signum)
        if signum == signal.SIGKILL:
            await self._has_ended(live, KILL_PATIENCE)

    async def restart(self, live: Live, timeout: int | None = None, signum: int | None = None) -> None:
        """Stop if it runs, then start; the restart policy and --rm do not see the end in between."""
        record = live.record
        if record.is_active:
            record.has_been_stopped_by_hand = live.is_coming_back = True
            try:
                await self._bring_down(live, timeout, signum)
            finally:
                live.is_coming_back = False
        async with live.lock:
            self._check_start(live)
            record.has_been_stopped_by_hand = False
            await self._start(live)
        self._ground.publish(live, "restart")

    # -- pause -------------------------------------------------------------------------------------------------

    async def pause(self, live: Live) -> None:
        """Freeze; raises Conflict if it is not running, or frozen already."""
        async with live.lock:
            record = live.record
            if record.state.status is Status.PAUSED:
                raise Conflict(f"Container {record.id} is already paused")
            if record.state.status is Status.RESTARTING:
                raise Conflict(f"Container {record.id} is restarting, wait until the container is running")
            await live.running_task().pause()
            record.state.move(Status.PAUSED)
            self._ground.roster.save(live)
            self._ground.publish(live, "pause")

    async def unpause(self, live: Live) -> None:
        """Thaw; raises Conflict if it is not frozen."""
        async with live.lock:
            if live.record.state.status is not Status.PAUSED:
                raise Conflict(f"Container {live.record.id} is not paused")
            await live.running_task().resume()
            self._unpaused(live)

    def _unpaused(self, live: Live) -> None:
        live.record.state.move(Status.RUNNING)
        self._ground.roster.save(live)
        self._ground.publish(live, "unpause")

    # -- remove ------------------------------------------------------------------------------------------------

    async def remove(self, live: Live, *, force: bool = False, with_volumes: bool = False) -> None:
        """Remove a container; one that runs only by ``force``."""
        record = live.record
        if record.state.status is Status.REMOVING:
            raise Conflict(f"removal of container {record.id} is already in progress")
        while not await self._remove_idle(live, with_volumes):
            if not force:
                state = {Status.PAUSED: "paused", Status.RESTARTING: "restarting"}.get(record.state.status, "running")
                raise Conflict(
                    f'cannot remove container "/{record.name}": container is {state}: stop the container before '
                    "removing or force remove"
                )
            record.has_been_stopped_by_hand = True
            await self._bring_down(live, 0, signal.SIGKILL)

    async def _remove_idle(self, live: Live, with_volumes: bool) -> bool:
        """Remove it unless it runs: under the lock, so that a start that is under way is seen."""
        async with live.lock:
            if live.record.is_active:
                return False
            if self._ground.roster.holds(live):
                await self._removal.remove(live, with_volumes=with_volumes)
            return True


def told(failure: StartFailure) -> CortenError:
    """A failed start as an answer; its words are Docker's, by which the client tells 126 and 127 from 125."""
    is_users_fault = failure.exit_code in (126, 127) or failure.step == "find user"
    return Invalid(failure.message) if is_users_fault else Internal(failure.message)
