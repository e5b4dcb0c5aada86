"""Opening an engine on the containers of an earlier engine: load, take over, resume.

An engine may be killed at any moment while its containers continue. The records describe the containers; the
supervisor knows which of them run.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import structlog

from vmagent.containers import records
from vmagent.containers.live import Live
from vmagent.containers.model import Container, Status
from vmagent.containers.restart import should_restart, starts_with_the_engine
from vmagent.containers.subpaths import detach_all
from vmagent.durable import sweep
from vmagent.engine.background import Background
from vmagent.engine.bin import Bin
from vmagent.engine.execs import Execs
from vmagent.engine.lifecycle import SIGKILL, Lifecycle
from vmagent.engine.registry import Registry
from vmagent.engine.stepping import StepRunner, is_step
from vmagent.engine.tidying import Tidying
from vmagent.errors import EngineError
from vmagent.images.store import Store
from vmagent.linux import mounts
from vmagent.paths import DataRoot, ExecRoot
from vmagent.supervisor import logwriter
from vmagent.supervisor.client import SupervisorClient
from vmagent.supervisor.messages import (
    ExecExited,
    ExecGrew,
    Exited,
    Held,
    HeldExec,
    LogGrew,
    NotHeld,
    SupervisorError,
    SupervisorEvent,
)

log = structlog.get_logger(__name__)


class Recovery:
    """`load` while the engine opens, `resume` once it is open; `on_event` gets the supervisor's events throughout."""

    def __init__(
        self,
        data_root: DataRoot,
        exec_root: ExecRoot,
        registry: Registry,
        background: Background,
        supervisor: SupervisorClient,
        tidying: Tidying,
        images: Store,
        lifecycle: Lifecycle,
        execs: Execs,
        steps: StepRunner,
        bin: Bin,
    ) -> None:
        self._bin = bin
        self._data_root, self._exec_root, self._registry = data_root, exec_root, registry
        self._background, self._supervisor, self._tidying = background, supervisor, tidying
        self._images, self._lifecycle, self._execs, self._steps = images, lifecycle, execs, steps
        self._held: dict[str, Held] = {}
        self._held_execs: Sequence[HeldExec] = ()
        self._early: list[SupervisorEvent] | None = []  # events before the records were loaded; None afterwards
        self._interrupted: set[str] = set()  # containers whose life or pending restart ended with the last engine

    # --- load and take over

    async def load(self) -> dict[str, int]:
        """Load all records and bring them in line with the supervisor. Returns the running containers: id → pid.

        Raises OSError, SupervisorError.
        """
        self._held = {held.id: held for held in await self._supervisor.list()}
        self._held_execs = await self._supervisor.list_execs()
        await self._background.on_disk(detach_all, self._exec_root.subpaths)  # of starts that a crash cut short
        found, incomplete = await self._background.on_disk(
            _read_records, self._data_root.containers, frozenset(self._held)
        )
        # Creates that a crash cut short, and the spare folders of an earlier engine: in one turn, as there are many.
        # This engine's own spares are there where an earlier attempt to open has failed.
        await self._tidying.discard_trees([folder for folder in incomplete if not self._tidying.is_spare(folder)])
        for record in found:
            try:
                self._registry.names.reserve(record.name, record.id)
            except EngineError as e:
                log.error("container.unreadable", container=record.id, error=str(e))
                continue
            live = Live(record)
            self._registry.add(live)
            with suppress(EngineError):  # the image's record is damaged: the image store has logged it
                self._lifecycle.image_holds[record.id] = self._images.hold(record.image_id)
            self._take_over(live)
        return {live.id: live.record.state.pid for live in self._registry if live.record.state.running}

    def forget(self) -> None:
        """Undo `load`, but keep the set of interrupted containers: `load` has changed their records."""
        self._registry.clear()
        self._lifecycle.image_holds.clear()

    def _take_over(self, live: Live) -> None:
        """Bring a record's state in line with what the supervisor holds."""
        state = live.record.state
        held = self._held.get(live.record.id)
        if held is not None and held.run >= state.run:
            # The supervisor is right: the engine may have been killed between a start and the write of its state.
            state.run, state.pid, state.started_ns = held.run, held.pid, held.started_at_ns
            state.status = Status.PAUSED if held.paused else Status.RUNNING
        elif state.running:
            self._lifecycle.lost(live)
            self._interrupted.add(live.record.id)
        elif state.status is Status.RESTARTING:
            state.status = Status.EXITED  # `_resume` starts it again
            self._interrupted.add(live.record.id)
        elif state.status is Status.REMOVING:
            state.status = Status.DEAD

    def take_over_execs(self) -> None:
        """Take over the execs that an earlier engine started. Call it after the last step of opening that can fail."""
        self._execs.take_over(self._held_execs)
        self._held_execs = ()

    # --- resume

    async def resume(self) -> None:
        """Handle exits that no engine saw, then continue interrupted removals and apply restart policies."""
        early, self._early = self._early, None
        for event in early or ():
            self.on_event(event)
        for held in self._held.values():
            if held.id not in self._registry:
                await self._forget_stranger(held)
            elif held.state == "exited" and held.exit_code is not None:
                self._lifecycle.on_exited(
                    Exited(
                        id=held.id,
                        run=held.run,
                        exit_code=held.exit_code,
                        oom_killed=held.oom_killed,
                        at_ns=held.exited_at_ns or held.started_at_ns,
                    )
                )
        for live in self._registry:
            try:
                await self._resume(live)
            except Exception:  # a failure of one container must not keep the others from being resumed
                log.exception("container.not_resumed", container=live.id)

    async def sweep(self) -> None:
        """Remove run-time files of containers whose removal was cut short."""
        for path in self._exec_root.containers.iterdir():
            if path.name not in self._registry and path.name not in self._steps:
                await self._background.on_disk(_unmount_shm, path)
                self._tidying.remove_later(path)

    async def _forget_stranger(self, held: Held) -> None:
        """Drop a run whose container has no record, after killing its process if that still runs.

        It is a step of an ended build, or a removal was cut short. An ended run is usual: the last engine removed the
        container and was killed before it acknowledged the exit.
        """
        if is_step(held.id):
            log.info("build.step_left_over", step=held.id)
        else:
            note = log.info if held.state == "exited" else log.warning
            note("container.stranger", container=held.id, run=held.run)
        try:
            if held.state == "exited":
                await self._supervisor.acknowledge(held.id, held.run)
            else:
                await self._supervisor.signal(held.id, SIGKILL)  # its exit is acknowledged when it is reported
        except NotHeld:
            pass  # it has just ended; its exit will be reported
        except SupervisorError as e:
            log.error("container.stranger_stays", container=held.id, error=str(e))

    async def _resume(self, live: Live) -> None:
        """Continue what the last engine was about to do for a container."""
        record, state = live.record, live.record.state
        policy = record.host_config["RestartPolicy"]
        if state.running:
            self._lifecycle.watch_health(live)
            return
        if state.status is Status.DEAD or (record.auto_remove and state.started_ns):
            restorable = self._bin.was_begun(live.id)
            with suppress(EngineError):
                await self._lifecycle.remove(live.id, force=True, volumes=record.auto_remove, restorable=restorable)
            return
        if record.id in self._interrupted and should_restart(policy, state):
            await self._lifecycle.start_by_policy(live, counts=True)
        elif starts_with_the_engine(policy, state):
            await self._lifecycle.start_by_policy(live, counts=False)

    # --- the supervisor's events

    def on_event(self, event: SupervisorEvent) -> None:
        """Handle an event from the supervisor. Events before `resume` are queued, until the records are loaded."""
        if self._early is not None:
            if not isinstance(event, LogGrew | ExecGrew):  # there may be many, and no client reads output yet
                self._early.append(event)
            return
        match event:
            case LogGrew():
                if (live := self._registry.get(event.id)) is not None:
                    live.bell.ring()
                else:
                    self._steps.on_grew(event.id)
            case Exited():
                if is_step(event.id):
                    self._steps.on_exited(event)
                else:
                    self._lifecycle.on_exited(event)
            case ExecExited():
                self._execs.on_exited(event)
            case ExecGrew():
                self._execs.on_grew(event)


def _read_records(containers: Path, held: frozenset[str]) -> tuple[list[Container], list[Path]]:
    """(all readable records, the folders of containers that were never completed). Logs what can't be read. Mends the
    logs of containers that are not `held` by the supervisor: after a loss of power no writer may ever open them again.

    Raises OSError.
    """
    found: list[Container] = []
    incomplete: list[Path] = []
    for folder in [Path(entry.path) for entry in os.scandir(containers) if entry.is_dir()]:
        sweep(folder)
        if not records.is_whole(folder):
            incomplete.append(folder)
            continue
        try:
            record = records.load(folder)
        except records.UnreadableRecord as e:
            log.error("container.unreadable", folder=str(folder), error=str(e))
            continue
        found.append(record)
        if folder.name not in held:
            _mend_log(folder, lost_power=record.state.running)
    return found, incomplete


def _mend_log(folder: Path, *, lost_power: bool) -> None:
    try:
        if logwriter.mend(str(folder), lost_power=lost_power):
            log.info("container.log_mended", container=folder.name)
    except OSError as e:
        log.warning("container.log_not_mended", container=folder.name, error=str(e))


def _unmount_shm(path: Path) -> None:
    with suppress(OSError):
        mounts.umount(f"{path}/shm", mounts.MNT_DETACH)
