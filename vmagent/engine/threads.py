"""Threads that run blocking calls for the event loop.

As `ThreadPoolExecutor` with `run_in_executor`, with a third of its work for each call: one future, and one wake-up each
way. A call goes to the thread that became idle last, and wakes no other: each thread that wakes wants the interpreter's
lock. (`queue.SimpleQueue` hands its own lock on, so with several threads that wait it wakes two for each call.)
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import structlog

log = structlog.get_logger(__name__)
R = TypeVar("R")
_Call = tuple[Callable[[], Any], "asyncio.Future[Any] | None"]


class _Idle:
    """Where one thread waits for a call: `bell` is held until `call` is there."""

    __slots__ = ("bell", "call")

    def __init__(self) -> None:
        self.bell = threading.Lock()
        self.bell.acquire()
        self.call: _Call | None = None


class Threads:
    """At most `limit` threads, started as calls come. One thread runs calls in the order in which they were made."""

    def __init__(self, limit: int, name: str) -> None:
        self._limit, self._name = limit, name
        self._lock = threading.Lock()  # of the next two
        self._calls: deque[_Call | None] = deque()  # while no thread is idle; None ends a thread
        self._idle: list[_Idle] = []
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
            self._put(None)
        for thread in self._started:
            thread.join()

    def _put(self, call: _Call | None) -> None:
        with self._lock:
            idle = self._idle.pop() if self._idle else None
            if idle is None:
                self._calls.append(call)
        if idle is not None:
            idle.call = call
            idle.bell.release()
        if call is not None and len(self._started) < self._limit:  # early, so that the memory in use stays as it is
            name = f"{self._name}_{len(self._started)}"
            thread = threading.Thread(target=self._work, name=name, daemon=True)  # a failed start ends without `close`
            self._started.append(thread)
            thread.start()

    def _next(self, own: _Idle) -> _Call | None:
        """The next call for the calling thread, whose own place is `own`; waits for one."""
        with self._lock:
            if self._calls:
                return self._calls.popleft()
            self._idle.append(own)
        own.bell.acquire()
        call, own.call = own.call, None
        return call

    def _work(self) -> None:
        own = _Idle()
        while (call := self._next(own)) is not None:
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
