"""Container states on their way to disk: written behind the changes, several in one go.

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
from vmagent.supervisor.client import SupervisorClient, SupervisorError

log = structlog.get_logger(__name__)

COMMIT_DELAY_S = 0.2  # changes within this time are written together
FLUSH_DELAY_S = 0.8  # after the write, states that were written without fsync get one
COMMIT_PAUSE_S = 5.0  # before a failed write is tried again
CLOSE_LIMIT_S = 5.0


class StateWriter:
    """Writes states, and lets the supervisor forget the runs whose exit is on disk. Used on the event loop only."""

    def __init__(self, registry: Registry, background: Background, supervisor: SupervisorClient) -> None:
        self._registry, self._background, self._supervisor = registry, background, supervisor
        self._changed: dict[ContainerId, Container] = {}
        self._exited: dict[ContainerId, int] = {}
        self._unflushed: set[ContainerId] = set()
        self._commit_task: asyncio.Task[None] | None = None

    def note(self, record: Container, *, exited_run: int | None = None) -> None:
        """Write the container's state soon and flush it within a second. With `exited_run` the write itself is
        durable, and the supervisor may forget that run after it.

        Nothing is lost in between: the supervisor repeats to the next engine all that it was not allowed to forget.
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
            # A container that was removed meanwhile has no folder to write to.
            states = [
                (self._registry.folder(container_id), encode_state(record.state), container_id in exited)
                for container_id, record in changed.items()
                if container_id in self._registry
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
        """Flush these states in a moment, so that after a power cut a container that ran is found exited.

        A container that lives for less than a second needs no flush of its own: the write of its exit is durable.
        """
        if written and not self._unflushed:
            asyncio.get_running_loop().call_later(FLUSH_DELAY_S, self.flush)
        self._unflushed.update(written)

    def flush(self) -> None:
        """Begin to flush what was written without fsync."""
        folders = [self._registry.folder(one) for one in self._unflushed if one in self._registry]
        self._unflushed.clear()
        if folders:
            self._background.submit(_flush_states, folders)

    async def acknowledge(self, container_id: str, run: int) -> None:
        """Let the supervisor forget a run; until then it repeats the run's exit to each new engine."""
        try:
            await self._supervisor.acknowledge(container_id, run)
        except SupervisorError as e:
            log.warning("container.exit_not_acknowledged", container=container_id, run=run, error=str(e))

    async def settle(self) -> None:
        """Wait for the write under way, within a limit."""
        if self._commit_task is not None and not self._commit_task.done():
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_LIMIT_S):
                    await asyncio.shield(self._commit_task)


def _flush_states(folders: list[Path]) -> None:
    """Flush state files that were written before. Removed containers are skipped."""
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
    """Write state files (folder, bytes, whether durably). Returns the ids of those that could not be written.

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
