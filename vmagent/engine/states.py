"""Write-behind of container states: written to disk shortly after the change, several together.

docs/decisions/0007-states-are-written-behind.md
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path

import structlog

from vmagent.containers.model import Container, ContainerId
from vmagent.containers.records import STATE, encode_state
from vmagent.durable import fsync_dir, publish
from vmagent.engine.background import Background
from vmagent.engine.registry import Registry
from vmagent.supervisor.client import SupervisorClient
from vmagent.supervisor.messages import SupervisorError

log = structlog.get_logger(__name__)

COMMIT_DELAY_S = 0.2  # changes within this time are written together
FLUSH_DELAY_S = 0.8  # after the write, states that were written without fsync get one
COMMIT_PAUSE_S = 5.0  # before a failed write is tried again
CLOSE_LIMIT_S = 5.0


class StateWriter:
    """Writes states, and acknowledges exits to the supervisor once they are on disk. Used on the event loop only."""

    def __init__(self, registry: Registry, background: Background, supervisor: SupervisorClient) -> None:
        self._registry, self._background, self._supervisor = registry, background, supervisor
        self._changed: dict[ContainerId, Container] = {}
        self._exited: dict[ContainerId, int] = {}
        self._unflushed: set[ContainerId] = set()
        self._commit_task: asyncio.Task[None] | None = None

    def note(self, record: Container, *, exited_run: int | None = None) -> None:
        """Write the container's state soon and flush it within a second.

        `exited_run`: this run has ended; the write itself is durable, and the exit is acknowledged after it. Until
        then the supervisor reports the exit again to each new engine, so a kill of this engine loses nothing.
        """
        self._changed[record.id] = record
        if exited_run is not None:
            self._exited[record.id] = exited_run
        if self._commit_task is None or self._commit_task.done():
            self._commit_task = self._background.spawn(self._commit(), "commit states")

    async def _commit(self) -> None:
        delay_s = COMMIT_DELAY_S
        while self._changed:
            await asyncio.sleep(delay_s)
            changed, self._changed = self._changed, {}
            exited, self._exited = self._exited, {}
            # A container that was removed meanwhile has no folder, or is back from the bin with another record.
            states = [
                (self._registry.folder(container_id), encode_state(record.state), container_id in exited)
                for container_id, record in changed.items()
                if (live := self._registry.get(container_id)) is not None and live.record is record
            ]
            unsaved = await self._background.on_disk(_write_states, states) if states else frozenset()
            for container_id, record in changed.items():
                if container_id in unsaved:
                    self._changed.setdefault(container_id, record)
            self._flush_later(changed.keys() - exited.keys() - unsaved)
            for container_id, run in exited.items():
                if container_id in unsaved:  # the supervisor has the only copy of this exit
                    self._exited.setdefault(container_id, run)
                else:
                    self._unflushed.discard(container_id)
                    await self.acknowledge(container_id, run)
            delay_s = COMMIT_PAUSE_S if unsaved else COMMIT_DELAY_S

    def _flush_later(self, written: set[ContainerId]) -> None:
        """Flush these states after FLUSH_DELAY_S, so that after a power cut a container that ran is shown as exited.

        A container that ends before that needs no such flush, because the state of its exit is written durably.
        """
        if written and not self._unflushed:
            asyncio.get_running_loop().call_later(FLUSH_DELAY_S, self.flush)
        self._unflushed.update(written)

    def flush(self) -> None:
        """Start to flush the states that were written without fsync."""
        folders = [self._registry.folder(one) for one in self._unflushed if one in self._registry]
        self._unflushed.clear()
        if folders:
            self._background.submit(_flush_states, folders)

    async def acknowledge(self, container_id: str, run: int) -> None:
        """Let the supervisor forget a run; until then it reports the run's exit to each new engine."""
        try:
            await self._supervisor.acknowledge(container_id, run)
        except SupervisorError as e:
            log.warning("container.exit_not_acknowledged", container=container_id, run=run, error=str(e))

    async def settle(self) -> None:
        """Wait for the current write, at most CLOSE_LIMIT_S."""
        if self._commit_task is not None and not self._commit_task.done():
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_LIMIT_S):
                    await asyncio.shield(self._commit_task)


def _flush_states(folders: list[Path]) -> None:
    """Flush existing state files. Removed containers are skipped. Errors are logged."""
    for folder in folders:
        try:
            fd = os.open(folder / STATE, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
            fsync_dir(folder)
        except FileNotFoundError:
            continue
        except OSError as e:
            log.error("container.state_not_flushed", container=folder.name, error=str(e))


def _write_states(states: list[tuple[Path, bytes, bool]]) -> frozenset[str]:
    """Write state files (folder, bytes, whether durably). Returns the ids of the containers whose write failed.

    Removed containers are skipped.
    """
    unsaved = set()
    for folder, data, durable in states:
        try:
            publish(folder / STATE, data, durable=durable)
        except FileNotFoundError:
            continue
        except OSError as e:
            log.error("container.state_not_saved", container=folder.name, error=str(e))
            unsaved.add(folder.name)
    return frozenset(unsaved)
