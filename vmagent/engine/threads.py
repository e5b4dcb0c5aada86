"""Threads that run blocking calls for the event loop.

As `ThreadPoolExecutor` with `run_in_executor`, with half of its work for each call: one queue and one call back to the
loop, without a second future, locks and conditions. A container's start makes five such calls.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

import structlog

log = structlog.get_logger(__name__)
R = TypeVar("R")
_Call = tuple[Callable[[], Any], "asyncio.Future[Any] | None"]


class Threads:
    """At most `limit` threads, started as calls come. One thread runs calls in the order in which they were made."""

    def __init__(self, limit: int, name: str) -> None:
        self._limit, self._name = limit, name
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._started: list[threading.Thread] = []

    def run(self, function: Callable[[], R]) -> asyncio.Future[R]:
        """Run `function` in a thread; the future has its result or exception. To be called on the event loop.

        A call whose future is cancelled before it began does not run.
        """
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._put((function, future))
        return future

    def submit(self, function: Callable[[], object]) -> None:
        """Run `function` in a thread without a result; an exception is logged. For any thread."""
        self._put((function, None))

    def close(self) -> None:
        """Wait for the calls that were made. Later ones are not run."""
        for _ in self._started:
            self._calls.put(None)
        for thread in self._started:
            thread.join()

    def _put(self, call: _Call) -> None:
        self._calls.put(call)
        if len(self._started) < self._limit:
            name = f"{self._name}_{len(self._started)}"
            thread = threading.Thread(target=self._work, name=name, daemon=True)  # a failed start ends without `close`
            self._started.append(thread)
            thread.start()

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            function, future = call
            if future is None:
                try:
                    function()
                except Exception:
                    log.exception("thread.failed")
            elif not future.cancelled():
                _reply(future, function)
            del call, function, future  # no result and no exception stays alive until the next call


def run_alone(function: Callable[[], R], name: str) -> asyncio.Future[R]:
    """Run `function` in a thread of its own, for a call that may never return: nothing waits for it at the end.

    The future has its result or exception. To be called on the event loop.
    """
    future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
    threading.Thread(target=_reply, args=(future, function), name=name, daemon=True).start()
    return future


def _reply(future: asyncio.Future[R], function: Callable[[], R]) -> None:
    """Run `function` and bring its end to the future's loop, unless that is closed."""
    try:
        end = partial(_finish, future, function())
    except Exception as e:  # noqa: BLE001 - raised where the future is awaited
        end = partial(_fail, future, e)
    with suppress(RuntimeError):  # the loop is closed
        future.get_loop().call_soon_threadsafe(end)


def _finish(future: asyncio.Future[R], result: R) -> None:
    if not future.cancelled():
        future.set_result(result)


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.cancelled():
        if isinstance(error, StopIteration):  # no future takes it, as it would end a coroutine's caller (PEP 479)
            error = RuntimeError(f"StopIteration in a thread: {error!r}")
        future.set_exception(error)
