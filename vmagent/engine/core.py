"""What the engine's verbs share: the containers in memory, the supervisor, the roots, the disk thread."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import structlog

from vmagent.containers import logconfig
from vmagent.containers.live import Live
from vmagent.containers.model import Container, ContainerId
from vmagent.containers.names import Names
from vmagent.containers.records import STATE, encode_state, make_folder
from vmagent.containers.spares import Spares
from vmagent.durable import fsync_dir, publish
from vmagent.engine.events import EventBus
from vmagent.errors import EngineError, NotFound
from vmagent.paths import DataRoot, ExecRoot
from vmagent.supervisor import rotation
from vmagent.supervisor.client import SupervisorClient, SupervisorError

if TYPE_CHECKING:
    from vmagent.engine.userns import UserNamespaces

log = structlog.get_logger(__name__)
P = ParamSpec("P")
R = TypeVar("R")

COMMIT_DELAY_S = 0.2  # changes of this long are written together
FLUSH_DELAY_S = 0.8  # then states that were written without a flush get it, if their containers live that long
COMMIT_PAUSE_S = 5.0  # before a state that could not be written is tried again
QUIET_S = 0.1  # without an event of a container, before trees are removed and folders are made beforehand
TIDY_LIMIT_S = 5.0  # then that is done beside other work


class Core:
    """State of one open engine; touched on the loop only."""

    users: UserNamespaces  # which containers are in one of their own; set by who puts the engine together

    def __init__(self, data_root: DataRoot, exec_root: ExecRoot, events: EventBus) -> None:
        self.data_root, self.exec_root, self.events = data_root, exec_root, events
        self.supervisor = SupervisorClient()
        self.log_default = logconfig.DEFAULT  # HostConfig.LogConfig of those who give none
        self.names = Names()
        self.spares = Spares(data_root.spares, make_folder)
        self.live: dict[ContainerId, Live] = {}
        self.is_stopping = False
        self._disk = ThreadPoolExecutor(3, thread_name_prefix="disk")
        self._tasks: set[asyncio.Task[Any]] = set()
        self._changed: dict[ContainerId, Container] = {}
        self._exited: dict[ContainerId, int] = {}
        self._commit_task: asyncio.Task[None] | None = None
        self._unflushed: set[ContainerId] = set()
        self._trash: list[Path] = []
        self._untidy_since = 0.0  # 0: nothing waits for a quiet moment
        self._busy_at = 0.0
        self._is_closed = False

    # Containers

    def find(self, ref: str) -> Live:
        """By id, name or the beginning of an id. Raises NotFound, BadRequest."""
        live = self.live.get(self.names.resolve(ref))
        if live is None:
            raise NotFound(f"No such container: {ref}")
        return live

    def folder(self, container_id: str) -> Path:
        return self.data_root.container(container_id)

    def users_of_image(self, image_id: str) -> Iterator[Container]:
        return (live.record for live in self.live.values() if live.record.image_id == image_id)

    def tell(self, record: Container, action: str, **extra: str) -> None:
        """Publish a container event: all labels, image, name and `extra`."""
        self._busy_at = asyncio.get_running_loop().time()
        attributes = {**record.labels, "image": record.image_ref, "name": record.name, **extra}
        self.events.publish("container", action, record.id, attributes)

    # Work beside the loop

    async def on_disk(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run `function` in a disk thread."""
        return await asyncio.get_running_loop().run_in_executor(self._disk, partial(function, *args, **kwargs))

    def in_background(self, function: Callable[P, Any], *args: P.args, **kwargs: P.kwargs) -> None:
        """Run `function` in a disk thread; nobody waits for it, so it logs its failures itself."""
        if not self._is_closed:
            self._disk.submit(function, *args, **kwargs)

    def spawn_task(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """A task that belongs to the engine: its failure is logged, `close` ends it."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)
        return task

    def trim_log(self, record: Container) -> None:
        """A reader of its log has left: soon delete what is kept beyond the limits, unless there is another."""
        if not self._is_closed and (count := log_files(record)) is not None:
            self._disk.submit(trim_log, self.folder(record.id), count)

    def _task_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, EngineError):  # those are for the client, who got them
            log.error("task.failed", task=task.get_name(), exc_info=error)

    # States on their way to disk

    def note_state(self, record: Container, *, exited_run: int | None = None) -> None:
        """Write the container's state soon and flush it within a second; with `exited_run` at once, and let the
        supervisor forget that run then.

        Nothing is lost in between: until it may forget, the supervisor repeats to the next engine what it knows.
        """
        self._changed[record.id] = record
        if exited_run is not None:
            self._exited[record.id] = exited_run
        if self._commit_task is None or self._commit_task.done():
            self._commit_task = self.spawn_task(self._commit_states(), "commit states")

    async def _commit_states(self) -> None:
        delay_s = COMMIT_DELAY_S
        while self._changed:
            await asyncio.sleep(delay_s)
            changed, self._changed = self._changed, {}
            exited, self._exited = self._exited, {}
            # A container that is gone by now has no folder to write to.
            states = [
                (self.folder(container_id), encode_state(record.state), container_id in exited)
                for container_id, record in changed.items()
                if container_id in self.live
            ]
            unsaved = await self.on_disk(_write_states, states) if states else frozenset()
            for container_id, record in changed.items():
                if container_id in unsaved:
                    self._changed.setdefault(container_id, record)
            self._flush_later(changed.keys() - exited.keys() - unsaved)
            for container_id, run in exited.items():
                if container_id in unsaved:  # what the supervisor knows is all there is of this exit
                    self._exited.setdefault(container_id, run)
                else:
                    self._unflushed.discard(container_id)
                    await self.acknowledge(container_id, run)
            delay_s = COMMIT_PAUSE_S if unsaved else COMMIT_DELAY_S

    def _flush_later(self, written: set[ContainerId]) -> None:
        """Flush these states in a moment: after a power cut a container that ran is to be found exited, not as made.

        Who lives for less than a second is not worth a flush of its own: its exit has one.
        """
        if written and not self._unflushed:
            asyncio.get_running_loop().call_later(FLUSH_DELAY_S, self._flush)
        self._unflushed.update(written)

    def _flush(self) -> None:
        folders = [self.folder(container_id) for container_id in self._unflushed if container_id in self.live]
        self._unflushed.clear()
        if folders and not self._is_closed:
            self._disk.submit(_flush_states, folders)

    async def acknowledge(self, container_id: str, run: int) -> None:
        """Let the supervisor forget a run; one that it keeps is told again to the next engine."""
        try:
            await self.supervisor.acknowledge(container_id, run)
        except SupervisorError as e:
            log.warning("container.exit_not_acknowledged", container=container_id, run=run, error=str(e))

    # Removal of trees

    def discard_tree(self, path: Path) -> None:
        """Take `path` out of sight now, its files away later. Raises OSError."""
        target = self.data_root.trash / f"{path.name}.{os.urandom(4).hex()}"
        with suppress(FileNotFoundError):
            os.rename(path, target)
            self.remove_later(target)

    def remove_later(self, path: Path) -> None:
        """Remove a tree that nobody looks at any more, in a quiet moment; gone already is fine."""
        self._trash.append(path)
        self._tidy_later()

    # What waits for a quiet moment: a thread that makes or removes files asks for the interpreter's lock at each of its
    # calls, and beside a start the two kept each other waiting for milliseconds.

    def replace_spare(self) -> None:
        """A container has taken one of the folders made beforehand: make another, at once if they run out."""
        if self.spares.is_low:
            self.in_background(self.spares.make)
        self._tidy_later()

    def _tidy_later(self) -> None:
        if not self._untidy_since:
            loop = asyncio.get_running_loop()
            self._untidy_since = loop.time()
            loop.call_later(QUIET_S, self._tidy)

    def _tidy(self) -> None:
        loop = asyncio.get_running_loop()
        if self._is_closed:
            return
        if loop.time() < min(self._busy_at + QUIET_S, self._untidy_since + TIDY_LIMIT_S):
            loop.call_later(QUIET_S, self._tidy)
            return
        self._untidy_since = 0.0
        trash, self._trash = self._trash, []
        self._disk.submit(self._tidy_now, trash)

    def _tidy_now(self, trash: list[Path]) -> None:
        """In a disk thread. Folders first: where much was just removed, new files take longer."""
        self.spares.fill_up()
        _remove_trees(trash)

    async def sweep_trash(self) -> None:
        """Remove what an earlier engine left there."""
        for entry in await self.on_disk(os.listdir, self.data_root.trash):
            await self.on_disk(_remove_tree, self.data_root.trash / entry)

    async def close(self) -> None:
        """Finish what is on its way to disk, end the tasks."""
        if self._commit_task is not None and not self._commit_task.done():
            with suppress(TimeoutError):
                async with asyncio.timeout(5):
                    await asyncio.shield(self._commit_task)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.supervisor.close()
        self._flush()
        self._is_closed = True
        self._disk.submit(_remove_trees, self._trash)
        self._disk.shutdown(wait=True)


def log_files(record: Container) -> int | None:
    """How many generations of its log are to stay; None where there is no limit."""
    try:
        limits = logconfig.limits(record.host_config["LogConfig"])
    except EngineError:  # it can't have been started
        return None
    return None if limits is None else limits[1]


_trimming = threading.Lock()  # two of them would take each other for readers


def trim_log(folder: Path, count: int) -> None:
    """Delete what the log in `folder` has beyond `count` generations, if nobody reads it. What fails is logged."""
    try:
        with _trimming:
            rotation.trim(str(folder), count)
    except FileNotFoundError:  # removed meanwhile, with its container
        return
    except OSError as e:
        log.error("log.not_trimmed", folder=str(folder), error=str(e))


def _remove_trees(paths: list[Path]) -> None:
    for path in paths:
        _remove_tree(path)


def _remove_tree(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)  # what can't go now goes at the next sweep


def _flush_states(folders: list[Path]) -> None:
    """Flush state files that were written before; those of containers that are gone need none."""
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
    """Write state files (folder, bytes, whether durably): the ids of those that could not be.

    A folder that is gone meanwhile needs none.
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
