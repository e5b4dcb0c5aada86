"""The part of a container that exists only in the engine's memory: locks, waiters, and notification of changes."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Generator
from enum import StrEnum
from types import TracebackType
from typing import Any, NamedTuple

from vmagent.containers.model import Container, Status
from vmagent.errors import BadRequest


class Bell:
    """Wakes all tasks that wait for a change. Call `next()` before reading the state, then await its result."""

    __slots__ = ("_rings", "_sleepers")

    def __init__(self) -> None:
        self._rings = 0
        self._sleepers: set[asyncio.Future[None]] | None = None  # made at the first wait: most containers have none

    @property
    def sleepers(self) -> int:
        """The number of waiting tasks."""
        return len(self._sleepers or ())

    def next(self) -> News:
        """The next ring after this call. It holds no resource, so it need not be awaited."""
        return News(self, self._rings)

    def ring(self) -> None:
        self._rings += 1
        sleepers, self._sleepers = self._sleepers, None
        for sleeper in sleepers or ():
            if not sleeper.done():
                sleeper.set_result(None)

    async def after(self, rings: int) -> None:
        """Wait until it has rung more than `rings` times."""
        if self._rings > rings:
            return
        sleeper: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._sleepers is None:
            self._sleepers = set()
        self._sleepers.add(sleeper)
        try:
            await sleeper
        finally:
            if self._sleepers is not None:
                self._sleepers.discard(sleeper)


class News:
    """A future ring of a bell. May be awaited more than once."""

    __slots__ = ("_bell", "_rings")

    def __init__(self, bell: Bell, rings: int) -> None:
        self._bell, self._rings = bell, rings

    def __await__(self) -> Generator[Any, None, None]:
        return self._bell.after(self._rings).__await__()


class Condition(StrEnum):
    """The condition of a ContainerWait."""

    NOT_RUNNING = "not-running"
    NEXT_EXIT = "next-exit"
    REMOVED = "removed"

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Raises BadRequest."""
        try:
            return cls(text or cls.NOT_RUNNING)
        except ValueError:
            raise BadRequest(f'invalid condition: "{text}"') from None


class Waiter:
    """One ContainerWait. It is registered by its constructor, so no change after the reply's headers is missed."""

    def __init__(self, future: asyncio.Future[dict[str, Any]]) -> None:
        self._future = future

    async def result(self) -> dict[str, Any]:
        """{"StatusCode": n}, plus "Error" if the wait failed. May be cancelled at any time."""
        return await self._future


class _CountedLock(asyncio.Lock):
    """A lock that counts its holder and the tasks that wait for it."""

    users = 0


class Locking:
    """One use of a lock that exists only while it is used: two permanent locks take 220 bytes per idle container."""

    __slots__ = ("_live", "_lock", "_name")

    def __init__(self, live: Live, name: str) -> None:
        self._live, self._name = live, name
        self._lock: _CountedLock

    async def __aenter__(self) -> None:
        lock: _CountedLock | None = getattr(self._live, self._name)
        if lock is None:
            lock = _CountedLock()
            setattr(self._live, self._name, lock)
        lock.users += 1
        self._lock = lock
        try:
            await lock.acquire()
        except BaseException:
            self._leave()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()
        self._leave()

    def _leave(self) -> None:
        self._lock.users -= 1
        if not self._lock.users:
            setattr(self._live, self._name, None)


# Milliseconds of a start's steps: `prepare_ms`, `mount_ms`, `setup_ms`, `start_ms` of `Timeline`.
_TIMES = struct.Struct("<ffff")


class Timeline(NamedTuple):
    """Milliseconds of each step of a creation and a start; None: the step has not happened, or under another engine."""

    create_ms: float | None  # from the request until the record was on disk
    prepare_ms: float | None  # network, volumes and the plan
    mount_ms: float | None  # layers and the file systems around them
    setup_ms: float | None  # what the container's first process did after the mounts, until it could execute
    start_ms: float | None  # the whole start, until execve of the command
    layers: int  # of the image
    pid: int  # of the first process, in the engine's pid namespace; 0: it does not run
    ended_by: str  # "user": stopped or killed through the API; "engine": with the engine; "": by itself, or it runs


class Live:
    """One container in the engine's memory: its record, and the state that is not part of the record."""

    __slots__ = (
        "_create_ms",
        "_lock",
        "_overlay",
        "_times",
        "_waiters",
        "backoff_s",
        "bell",
        "exec_ids",
        "health",
        "is_removed",
        "is_removing",
        "keeps_on_exit",
        "record",
        "restart_task",
        "sessions",
    )

    def __init__(self, record: Container) -> None:
        self.record = record
        self._lock: _CountedLock | None = None
        self._overlay: _CountedLock | None = None
        self.bell = Bell()  # rung at every change of status and whenever the log has grown
        self.is_removing = False  # a removal is under way
        self.is_removed = False
        self.keeps_on_exit = False  # stopped to be started again at once: --rm does not remove it now
        self.exec_ids: tuple[str, ...] = ()  # of running execs
        self.restart_task: asyncio.Task[None] | None = None
        self.backoff_s = 0.0
        self.sessions = 0  # attached clients that have not received all output yet
        self.health: Any = None  # the engine's health monitor while the container runs
        self._create_ms = 0.0
        self._times = b""  # `_TIMES` of the last start
        self._waiters: dict[Condition, set[asyncio.Future[dict[str, Any]]]] | None = None

    @property
    def lock(self) -> Locking:
        """Hold it (`async with`) during every change of the container's status."""
        return Locking(self, "_lock")

    @property
    def overlay(self) -> Locking:
        """Hold it while the root file system is mounted for writing, or removed. Acquire it before `lock`.

        A long upload into a stopped container holds it; then a start waits, but no other verb.
        """
        return Locking(self, "_overlay")

    def note_create(self, create_ms: float) -> None:
        """Record how long the creation took."""
        self._create_ms = create_ms

    def note_start(self, *, prepare_ms: float, mount_ms: float, setup_ms: float, start_ms: float) -> None:
        """Record how long each step of a start took."""
        self._times = _TIMES.pack(prepare_ms, mount_ms, setup_ms, start_ms)

    def timeline(self) -> Timeline:
        """The times of the creation and of the last start, as far as they happened under this engine."""
        state = self.record.state
        steps = [round(took, 3) for took in _TIMES.unpack(self._times)] if self._times else [None] * 4
        return Timeline(
            create_ms=round(self._create_ms, 3) if self._create_ms else None,
            prepare_ms=steps[0],
            mount_ms=steps[1],
            setup_ms=steps[2],
            start_ms=steps[3],
            layers=self.record.layers,
            pid=state.pid if state.running else 0,
            ended_by=state.ended_by,
        )

    @property
    def id(self) -> str:
        return self.record.id

    def wait_for(self, condition: Condition) -> Waiter:
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        state = self.record.state
        waits = state.running or state.status is Status.RESTARTING
        if condition is Condition.NOT_RUNNING and not waits:
            future.set_result({"StatusCode": state.exit_code})
        else:
            if self._waiters is None:
                self._waiters = {}
            group = self._waiters.setdefault(condition, set())
            group.add(future)
            future.add_done_callback(group.discard)
        return Waiter(future)

    async def removal(self) -> None:
        """Wait until a removal begins."""
        while not (self.is_removing or self.is_removed):
            news = self.bell.next()
            await news

    def died(self) -> None:
        """Wake the waiters for an exit. The record must have the new status already."""
        self._answer({"StatusCode": self.record.state.exit_code}, Condition.NOT_RUNNING, Condition.NEXT_EXIT)

    def removed(self) -> None:
        """Wake all waiters, also those for the exit of a container that never ran (as in moby#34945)."""
        self.is_removed = True
        self._answer({"StatusCode": self.record.state.exit_code}, *Condition)
        self.bell.ring()

    def removal_failed(self, why: str) -> None:
        answer = {"StatusCode": self.record.state.exit_code, "Error": {"Message": why}}
        self._answer(answer, Condition.REMOVED)

    def _answer(self, answer: dict[str, Any], *conditions: Condition) -> None:
        for condition in conditions:
            for future in list((self._waiters or {}).get(condition, ())):
                if not future.done():
                    future.set_result(dict(answer))

    def run_is_over(self, run: int) -> bool:
        """Whether run number `run` has ended, or never began."""
        state = self.record.state
        return self.is_removed or state.run > run or (state.run == run and not state.running)
