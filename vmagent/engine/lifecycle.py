"""Start, stop, kill, exit, restart and removal: all changes of a container's status.

`live.lock` is held during a change, but never while waiting for the process. The order is: change the state, wake the
waiters, publish the event, because clients inspect the container as soon as they get a reply or an event.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog

from vmagent.containers import records
from vmagent.containers.live import Condition, Live, Waiter
from vmagent.containers.model import Container, ContainerId, Event, MountKind, Status, now_ns
from vmagent.containers.restart import next_delay_s, should_restart
from vmagent.durable import move
from vmagent.engine.background import Background
from vmagent.engine.bin import Bin
from vmagent.engine.binstore import Entry
from vmagent.engine.container_events import ContainerEvents
from vmagent.engine.endpoints import Endpoints
from vmagent.engine.health import HealthMonitors
from vmagent.engine.launching import Launcher, start_error
from vmagent.engine.links import Links
from vmagent.engine.registry import Registry
from vmagent.engine.states import StateWriter
from vmagent.engine.tidying import Tidying
from vmagent.engine.volumes import Volumes
from vmagent.errors import Conflict, EngineError, NotFound, NotModified
from vmagent.images.holds import Hold
from vmagent.paths import ExecRoot
from vmagent.runtime.failure import LaunchError
from vmagent.signals import signal_number
from vmagent.supervisor.client import SupervisorClient
from vmagent.supervisor.messages import Exited, NotHeld

log = structlog.get_logger(__name__)

STOP_TIMEOUT_S = 10
KILL_LIMIT_S = 30.0  # from SIGKILL to the exit, which uninterruptible sleep delays
DRAIN_LIMIT_S = 2.0  # how long a removal waits for attached clients to read the last output
SIGKILL = 9


class Lifecycle:
    """The verbs that change a container's status."""

    def __init__(
        self,
        registry: Registry,
        events: ContainerEvents,
        background: Background,
        supervisor: SupervisorClient,
        states: StateWriter,
        tidying: Tidying,
        launcher: Launcher,
        endpoints: Endpoints,
        volumes: Volumes,
        health: HealthMonitors,
        links: Links,
        exec_root: ExecRoot,
        bin: Bin,
    ) -> None:
        self._bin = bin
        self._registry, self._events, self._background, self._supervisor = registry, events, background, supervisor
        self._states, self._tidying, self._launcher, self._endpoints = states, tidying, launcher, endpoints
        self._volumes, self._health, self._links, self._exec_root = volumes, health, links, exec_root
        self._is_stopping = False
        self.image_holds: dict[ContainerId, Hold] = {}

    # --- start

    async def start(self, ref: str) -> None:
        """ContainerStart. Raises NotModified if it runs, Conflict if its status forbids it, or the start's error."""
        await self._start(self._registry.find(ref))

    async def _start(self, live: Live) -> None:
        state = live.record.state
        async with live.overlay, live.lock:
            if state.status is Status.PAUSED:
                raise Conflict("cannot start a paused container, try unpause instead")
            if state.running:
                raise NotModified("container already started")
            if live.is_removing or live.is_removed:
                raise Conflict("container is marked for removal and cannot be started")
            self._cancel_restart(live)
            state.restart_count, state.stopped_by_hand = 0, False
            live.backoff_s = 0.0
            await self._launch(live)

    async def start_by_policy(self, live: Live, *, counts: bool) -> None:
        """Start a container when the engine opens; an error goes into its state. `counts`: it counts as a restart."""
        async with live.overlay, live.lock:
            state = live.record.state
            if state.running or live.is_removing or live.is_removed:
                return
            state.restart_count = state.restart_count + 1 if counts else 0
            with suppress(EngineError):
                await self._launch(live)

    async def _launch(self, live: Live) -> None:
        """Start the container; the caller holds the lock. On failure, record the error and apply --rm, then raise."""
        record, state = live.record, live.record.state
        state.run += 1
        state.error, state.oom_killed, state.stopped_with_engine = "", False, False
        try:
            spawned = await self._launcher.launch(live)
        except Exception as e:
            if not isinstance(e, EngineError | LaunchError | OSError):
                log.exception("container.start_broken", container=record.id)
            failure, state.exit_code = start_error(e)
            state.error = str(failure)
            if state.status is Status.RESTARTING:
                state.move(Event.GIVE_UP)
                live.died()
            live.bell.ring()
            self._states.note(record)
            log.info("container.start_failed", container=record.id, error=state.error)
            if record.auto_remove:
                await self._remove_locked(live, volumes=True)
            raise failure from e
        state.move(Event.START)
        state.pid, state.started_ns, state.exit_code = spawned.pid, spawned.started_at_ns, 0
        state.finished_ns = state.finished_ns if state.restart_count else 0
        live.bell.ring()
        self._states.note(record)
        self._events.publish(record, "start")
        self._health.start(live)
        try:
            await self._links.started(record)
        except (OSError, EngineError) as e:  # those that have a link to it don't find it until their next start
            log.error("links.not_told", container=record.id, error=str(e))

    def watch_health(self, live: Live) -> None:
        """Start the health check of a container that an earlier engine started."""
        self._health.resume(live)

    # --- exit

    async def waiter(self, ref: str, condition: str) -> Waiter:
        """ContainerWait; the waiter is registered when this returns. Raises BadRequest."""
        return self._registry.find(ref).wait_for(Condition.parse(condition))

    def on_exited(self, event: Exited) -> None:
        """Handle the supervisor's report that a container's process has ended; it may be repeated."""
        live = self._registry.get(event.id)
        if live is None:
            self._background.spawn(self._states.acknowledge(event.id, event.run), "forget unknown exit")
            return
        self._background.spawn(self._exited(live, event), f"exit of {event.id[:12]}")

    async def _exited(self, live: Live, event: Exited) -> None:
        async with live.lock:
            record, state = live.record, live.record.state
            if live.is_removed:
                await self._states.acknowledge(event.id, event.run)
                return
            if event.run != state.run or not state.running:
                self._states.note(record, exited_run=event.run)  # known already
                return
            await self._settle(live, event)

    async def _settle(self, live: Live, event: Exited) -> None:
        """Process an exit: state, waiters, events, network, then removal or restart. The caller holds the lock."""
        record, state = live.record, live.record.state
        self._health.stop(live)
        sandbox = self._endpoints.controller.sandbox(record.id)
        if sandbox is not None and sandbox.ports:
            released = self._endpoints.release(record)
            assert released is not None
            await released  # a client that waits for the exit may use the same port at once
        state.pid, state.exit_code, state.finished_ns = 0, event.exit_code, event.at_ns
        state.oom_killed = event.oom_killed
        again = not self._is_stopping and should_restart(record.host_config["RestartPolicy"], state)
        state.move(Event.AWAIT_RESTART if again and not live.is_removing else Event.DIE)
        live.bell.ring()
        live.died()
        if event.oom_killed:
            self._events.publish(record, "oom")
        lived_s = (state.finished_ns - state.started_ns) / 1e9
        self._events.publish(record, "die", exitCode=str(state.exit_code), execDuration=str(max(0, int(lived_s))))
        self._endpoints.release(record)
        await self._launcher.unmount(record)
        if record.auto_remove and not live.is_removing and not live.keeps_on_exit:
            await self._remove_locked(live, volumes=True)
            await self._states.acknowledge(event.id, event.run)
            return
        self._states.note(record, exited_run=event.run)
        if state.status is Status.RESTARTING:
            live.backoff_s = next_delay_s(live.backoff_s, lived_s)
            live.restart_task = self._background.spawn(self._restart_later(live), f"restart {record.id[:12]}")

    async def _restart_later(self, live: Live) -> None:
        await asyncio.sleep(live.backoff_s)
        async with live.overlay, live.lock:
            state = live.record.state
            if state.status is not Status.RESTARTING or self._is_stopping:
                return
            live.restart_task = None
            state.restart_count += 1
            with suppress(EngineError):  # it is logged there, and is in the state
                await self._launch(live)

    def _cancel_restart(self, live: Live) -> bool:
        """If a restart is pending, cancel it and set the status to exited. Returns whether it was pending.

        The caller holds the lock.
        """
        if live.restart_task is not None:
            live.restart_task.cancel()
            live.restart_task = None
        if live.record.state.status is not Status.RESTARTING:
            return False
        live.record.state.move(Event.GIVE_UP)
        live.bell.ring()
        self._states.note(live.record)
        return True

    # --- stop, kill, restart

    async def stop(self, ref: str, *, timeout_s: int | None, signal: str | None) -> None:
        """ContainerStop. Raises NotModified if it does not run. Continues if the client disconnects."""
        live = self._registry.find(ref)
        await self._shielded(self._stop(live, timeout_s, signal), f"stop {live.id[:12]}")

    async def _stop(self, live: Live, timeout_s: int | None, signal: str | None) -> None:
        record, state = live.record, live.record.state
        first = signal_number(signal or record.config.get("StopSignal") or "SIGTERM")
        async with live.lock:
            if self._cancel_restart(live):
                await self._stopped_before_restart(live)
                self._events.publish(record, "stop")
                return
            if not state.running:
                raise NotModified("container already stopped")
            state.stopped_by_hand = True
            await self._mark_stopped(record)
            run = state.run
        await self._send(live, first, wake=True)
        limit = self._stop_limit(record, timeout_s)
        if first == SIGKILL or not await self._over(live, run, limit):
            if first != SIGKILL:
                await self._send(live, SIGKILL)
            if not await self._over(live, run, KILL_LIMIT_S):
                raise EngineError(
                    f"cannot stop container: {record.id}: tried to kill container, but did not receive an exit event"
                )
        self._events.publish(record, "stop")

    async def _stopped_before_restart(self, live: Live) -> None:
        """A stop or kill has cancelled the pending restart: wake the clients that wait for the end."""
        live.record.state.stopped_by_hand = True
        await self._mark_stopped(live.record)
        live.died()

    @staticmethod
    def _stop_limit(record: Container, timeout_s: int | None) -> float | None:
        """Seconds from the stop signal to SIGKILL; None: no limit (the API's -1)."""
        chosen = timeout_s
        if chosen is None:
            chosen = record.config.get("StopTimeout")
        if chosen is None:
            chosen = STOP_TIMEOUT_S
        return None if chosen < 0 else float(chosen)

    async def _mark_stopped(self, record: Container) -> None:
        """Record that the container was stopped through the API; durably if its restart policy depends on that."""
        durable = record.host_config["RestartPolicy"]["Name"] in ("always", "unless-stopped")
        if durable:
            await self._background.on_disk(
                records.save_state, self._registry.folder(record.id), record.state, durable=True
            )
        else:
            self._states.note(record)

    async def _over(self, live: Live, run: int, limit_s: float | None) -> bool:
        """Wait until the run has ended and its exit is processed. Returns False if `limit_s` is exceeded first."""
        try:
            async with asyncio.timeout(limit_s):
                while True:
                    news = live.bell.next()
                    if live.run_is_over(run):
                        break
                    await news
        except TimeoutError:
            return False
        async with live.lock:  # `_settle` holds the lock until the exit is processed
            return True

    async def _send(self, live: Live, number: int, *, wake: bool = False) -> None:
        """Send a signal and publish `kill`; no error if the process has ended. `wake`: also thaw a paused container."""
        with suppress(NotHeld):
            await self._supervisor.signal(live.id, number)
            self._events.publish(live.record, "kill", signal=str(number))
            if (wake or number == SIGKILL) and live.record.state.status is Status.PAUSED:
                await self._supervisor.resume(live.id)
                if live.record.state.status is Status.PAUSED:
                    live.record.state.move(Event.UNPAUSE)

    async def kill(self, ref: str, *, signal: str) -> None:
        """ContainerKill. Waits for the exit after SIGKILL, but not after other signals."""
        live = self._registry.find(ref)
        await self._shielded(self._kill(live, signal), f"kill {live.id[:12]}")

    async def _kill(self, live: Live, signal: str) -> None:
        record, state = live.record, live.record.state
        number = signal_number(signal or "SIGKILL")
        async with live.lock:
            if self._cancel_restart(live):
                await self._stopped_before_restart(live)
                return
            if not state.running:
                raise Conflict(f"cannot kill container: {record.name}: container {record.id} is not running")
            run = state.run
            stop_signal = signal_number(record.config.get("StopSignal") or "SIGTERM")
            if number in (SIGKILL, stop_signal):
                state.stopped_by_hand = True
                await self._mark_stopped(record)
        await self._send(live, number, wake=number == stop_signal)
        if number == SIGKILL and not await self._over(live, run, KILL_LIMIT_S):
            raise EngineError(f"cannot kill container: {record.name}: no exit event after {KILL_LIMIT_S:g} s")

    async def restart(self, ref: str, *, timeout_s: int | None, signal: str | None) -> None:
        """ContainerRestart; a stopped container is started. --rm does not apply to the stop in between."""
        live = self._registry.find(ref)
        await self._shielded(self._restart(live, timeout_s, signal), f"restart {live.id[:12]}")

    async def _restart(self, live: Live, timeout_s: int | None, signal: str | None) -> None:
        live.keeps_on_exit = True
        try:
            with suppress(NotModified):
                await self._stop(live, timeout_s, signal)
        finally:
            live.keeps_on_exit = False
        await self._start(live)
        self._events.publish(live.record, "restart")

    async def pause(self, ref: str) -> None:
        """ContainerPause. Raises Conflict."""
        live = self._registry.find(ref)
        async with live.lock:
            state = live.record.state
            if state.status is Status.PAUSED:
                raise Conflict(f"container {live.id} is already paused")
            if state.status is not Status.RUNNING:
                raise Conflict(f"container {live.id} is not running")
            await self._supervisor.pause(live.id)
            state.move(Event.PAUSE)
            self._states.note(live.record)
            live.bell.ring()
            self._events.publish(live.record, "pause")

    async def unpause(self, ref: str) -> None:
        """ContainerUnpause. Raises EngineError (500, as docker) if it is not paused."""
        live = self._registry.find(ref)
        async with live.lock:
            state = live.record.state
            if state.status is not Status.PAUSED:
                raise EngineError(f"Container {live.id} is not paused")
            await self._supervisor.resume(live.id)
            state.move(Event.UNPAUSE)
            self._states.note(live.record)
            live.bell.ring()
            self._events.publish(live.record, "unpause")

    # --- removal

    async def remove(self, ref: str, *, force: bool, volumes: bool, restorable: bool = False) -> None:
        """ContainerDelete; `restorable`: into the bin. Raises Conflict if it runs (without `force`) or is already being
        removed."""
        live = self._registry.find(ref)
        removing = self._remove(live, force=force, volumes=volumes, restorable=restorable)
        await self._shielded(removing, f"remove {live.id[:12]}")

    async def _remove(self, live: Live, *, force: bool, volumes: bool, restorable: bool) -> None:
        record, state = live.record, live.record.state
        if live.is_removed:  # by another request, after this one had looked it up
            raise NotFound(f"No such container: {record.id}")
        if live.is_removing:
            raise Conflict(f"removal of container {record.name} is already in progress")
        live.is_removing = True
        live.bell.ring()  # cancels an upload into it
        try:
            async with live.lock:
                if live.is_removed:
                    return
                self._cancel_restart(live)
                if state.running and not force:
                    hint = "unpause and then stop" if state.status is Status.PAUSED else "stop"
                    raise Conflict(
                        f'cannot remove container "{record.name}": container is {state.status}: '
                        f"{hint} the container before removing or force remove"
                    )
                run = state.run
                state.stopped_by_hand = state.stopped_by_hand or state.running
            if state.running:
                await self._send(live, SIGKILL)
                if not await self._over(live, run, KILL_LIMIT_S):
                    raise EngineError(f'cannot remove container "{record.name}": could not kill container')
            async with live.overlay, live.lock:
                if live.is_removed:
                    return
                if restorable:
                    await self._put_into_bin(live, volumes=volumes)
                else:
                    await self._remove_locked(live, volumes=volumes)
        except EngineError as e:
            live.removal_failed(str(e))
            raise
        finally:
            live.is_removing = False

    async def _put_into_bin(self, live: Live, *, volumes: bool) -> None:
        """As `_remove_locked`, but what the container has can be brought back."""
        record = live.record
        kept = replace(record.state, status=Status.CREATED if not record.state.run else Status.EXITED)
        try:
            # With the state that it has when it is brought back: what is written behind comes too late for that.
            await self._background.on_disk(records.save_state, self._registry.folder(record.id), kept, durable=True)
            async with self._bin.taking(
                "container", record.id, record.name, image=record.image_ref, image_id=record.image_id
            ) as entry:
                await self._remove_locked(live, volumes=volumes, entry=entry)
        except OSError as e:
            raise EngineError(f"cannot remove container {record.name}: {e.strerror}") from e

    async def _remove_locked(self, live: Live, *, volumes: bool, entry: Entry | None = None) -> None:
        """Delete a stopped container's files, name and volumes, or move them into the bin's `entry`; then wake the
        waiters and publish `destroy`."""
        record = live.record
        record.state.move(Event.REMOVE)
        await self._drained(live)
        self._endpoints.release(record)
        folder, run_folder = self._registry.folder(record.id), self._exec_root.container(record.id)
        try:
            if entry is None:
                await self._tidying.discard_tree(folder)
            else:
                await self._background.on_disk(move, folder, self._bin.store.container(entry))
        except OSError as e:
            record.state.move(Event.KEEP)
            raise EngineError(f"cannot remove container {record.name}: {e.strerror}") from e
        if entry is not None:
            run_folder = await self._background.on_disk(
                _renamed, run_folder
            )  # the container may be back before it goes
        self._tidying.remove_later(run_folder)
        self._registry.remove(record)
        await self._endpoints.reserve(record, is_removed=True)
        hold = self.image_holds.pop(record.id, None)
        if hold is not None:
            hold.release()
        used = [mount for mount in record.mounts if mount.kind is MountKind.VOLUME]
        if volumes and used:
            names = [mount.volume for mount in used if mount.anonymous]
            await self._volumes.remove_anonymous(record.id, names, entry)
        live.removed()
        self._events.publish(record, "destroy")

    async def _drained(self, live: Live) -> None:
        """Wait until attached clients have read the last output, at most DRAIN_LIMIT_S."""
        if not live.sessions:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_LIMIT_S):
                while live.sessions:
                    news = live.bell.next()
                    if not live.sessions:
                        return
                    await news

    # --- helpers

    async def _shielded(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Wait for `work`, which continues if the caller is cancelled (its client disconnected)."""
        await asyncio.shield(self._background.spawn(work, name))

    async def stop_all(self, limit_s: float) -> None:
        """At the engine's end: stop all containers, as dockerd does, without applying restart policies."""
        self._is_stopping = True
        running = [live for live in self._registry if live.record.state.running]
        for live in self._registry:
            if live.restart_task is not None:
                live.restart_task.cancel()
        stops = [self._stop_for_shutdown(live, limit_s) for live in running]
        for live, failure in zip(running, await asyncio.gather(*stops, return_exceptions=True), strict=True):
            if isinstance(failure, BaseException):  # the other containers are stopped in spite of it
                log.error("container.not_stopped", container=live.id, exc_info=failure)

    async def _stop_for_shutdown(self, live: Live, limit_s: float) -> None:
        record = live.record
        run = record.state.run
        record.state.stopped_with_engine = True  # before the signal: the exit saves the state
        await self._send(live, signal_number(record.config.get("StopSignal") or "SIGTERM"), wake=True)
        own_limit_s = self._stop_limit(record, None)
        if not await self._over(live, run, limit_s if own_limit_s is None else own_limit_s):
            await self._send(live, SIGKILL)
            await self._over(live, run, KILL_LIMIT_S)

    def lost(self, live: Live) -> None:
        """Record exit code 255, as docker does, for a container whose process the supervisor does not have.

        That happens after a reboot, or if supervisor and keeper were killed too.
        """
        state = live.record.state
        state.pid, state.exit_code, state.finished_ns = 0, 255, now_ns()
        state.status, state.stopped_with_engine = Status.EXITED, True
        self._states.note(live.record)


def _renamed(path: Path) -> Path:
    """Give a folder, which may be missing, a name of its own beside it. Raises OSError."""
    target = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with suppress(FileNotFoundError):
        os.rename(path, target)
    return target
