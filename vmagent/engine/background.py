"""Work of the engine that does not belong to one request: disk threads for blocking calls, and tasks on the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, ParamSpec, TypeVar

import structlog

from vmagent.engine.threads import Threads
from vmagent.errors import EngineError, Unavailable

log = structlog.get_logger(__name__)
P = ParamSpec("P")
R = TypeVar("R")

DISK_THREADS = 3


class Background:
    """The engine's disk threads and tasks. Its methods are called on the event loop."""

    def __init__(self) -> None:
        self._disk = Threads(DISK_THREADS, "disk")
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_closed = False

    async def on_disk(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run `function` in a disk thread and return its result. Raises what it raises."""
        return await self.begin(function, *args, **kwargs)

    def begin(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[R]:
        """As `on_disk`, begun at once: the caller may do other work before it awaits the result.

        Raises Unavailable after `close`: a request that is still running then gets 503.
        """
        if self._is_closed:
            raise Unavailable("the engine is stopping")
        return self._disk.run(partial(function, *args, **kwargs))

    def submit(self, function: Callable[P, Any], *args: P.args, **kwargs: P.kwargs) -> None:
        """Run `function` in a disk thread without a result: it should log its own failures. Ignored after `close`."""
        if not self._is_closed:
            self._disk.submit(partial(function, *args, **kwargs))

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Start a task that is owned by the engine: its failure is logged, and `end_tasks` cancels it."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)
        return task

    def _task_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, EngineError):  # an EngineError went to the client
            log.error("task.failed", task=task.get_name(), exc_info=error)

    async def end_tasks(self) -> None:
        """Cancel all tasks and wait for their end."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def close(self) -> None:
        """Wait for the work that was given to the disk threads; ignore work that is submitted later."""
        self._is_closed = True
        self._disk.close()
