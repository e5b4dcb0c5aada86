"""What exists of a container only while the engine runs: who waits for it, and whom to tell that something changed."""

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
    """Wakes everyone who asked since the last ring. Take `next()` before looking at the state, then await it."""

    __slots__ = ("_rings", "_sleepers")

    def __init__(self) -> None:
        self._rings = 0
        self._sleepers: set[asyncio.Future[None]] | None = None  # made for the first: most containers have none

    @property
    def sleepers(self) -> int:
        """How many wait now."""
        return len(self._sleepers or ())

    def next(self) -> News:
        """The next ring from here on. Who never awaits it leaves nothing behind."""
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
    """A ring to come: await it, once or more often."""

    __slots__ = ("_bell", "_rings")

    def __init__(self, bell: Bell, rings: int) -> None:
        self._bell, self._rings = bell, rings

    def __await__(self) -> Generator[Any, None, None]:
        return self._bell.after(self._rings).__await__()


class Condition(StrEnum):
    """What ContainerWait waits for."""

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
    """One ContainerWait: registered when made, so that nothing is missed between its headers and its answer."""

    def __init__(self, future: asyncio.Future[dict[str, Any]]) -> None:
        self._future = future

    async def result(self) -> dict[str, Any]:
        """{"StatusCode": n}, with "Error" where the wait failed. A caller that goes away just cancels."""
        return await self._future


class _CountedLock(asyncio.Lock):
    """Knows by how many it is held or waited for."""

    users = 0


class Locking:
    """One use of a lock that is there only while somebody uses it: two for each idle container were 220 bytes."""

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
    start_ms: float | None  # all of the start, until the command was executed
    layers: int  # of the image
    pid: int  # of the first process, in the engine's pid namespace; 0: it does not run


class Live:
    """One container in the engine's memory: what is no part of its record."""

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
        self.sessions = 0  # attached clients that have not seen all output yet
        self.health: Any = None  # the engine's health monitor while the container runs
        self._create_ms = 0.0
        self._times = b""  # `_TIMES` of the last start
        self._waiters: dict[Condition, set[asyncio.Future[dict[str, Any]]]] | None = None

    @property
    def lock(self) -> Locking:
        """`async with` it over every change of the container's status."""
        return Locking(self, "_lock")

    @property
    def overlay(self) -> Locking:
        """`async with` it, before `lock`, while its root file system is mounted to write, or taken away.

        An upload into a stopped container may take its time, and keeps a start waiting, but no other verb.
        """
        return Locking(self, "_overlay")

    def note_create(self, create_ms: float) -> None:
        """How long its creation took."""
        self._create_ms = create_ms

    def note_start(self, *, prepare_ms: float, mount_ms: float, setup_ms: float, start_ms: float) -> None:
        """How long each step of a start took."""
        self._times = _TIMES.pack(prepare_ms, mount_ms, setup_ms, start_ms)

    def timeline(self) -> Timeline:
        """How long the steps of the creation and of the last start took, as far as this engine saw them."""
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
        """Tell those who wait for an exit; the status is in the record already."""
        self._answer({"StatusCode": self.record.state.exit_code}, Condition.NOT_RUNNING, Condition.NEXT_EXIT)

    def removed(self) -> None:
        """Tell everybody: also those whose container never ran (moby#34945)."""
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
        """Whether run number `run` has been and is gone (or never came to be)."""
        state = self.record.state
        return self.is_removed or state.run > run or (state.run == run and not state.running)
