"""What exists of a container only while the engine runs: who waits for it, and whom to tell that something changed."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from vmagent.containers.model import Container, Status
from vmagent.errors import BadRequest


class Bell:
    """Wakes everyone who asked since the last ring. Take `next()` before looking at the state, then await it."""

    def __init__(self) -> None:
        self._rings = 0
        self._sleepers: set[asyncio.Future[None]] = set()

    @property
    def sleepers(self) -> int:
        """How many wait now."""
        return len(self._sleepers)

    def next(self) -> News:
        """The next ring from here on. Who never awaits it leaves nothing behind."""
        return News(self, self._rings)

    def ring(self) -> None:
        self._rings += 1
        for sleeper in self._sleepers:
            if not sleeper.done():
                sleeper.set_result(None)
        self._sleepers.clear()

    async def after(self, rings: int) -> None:
        """Wait until it has rung more than `rings` times."""
        if self._rings > rings:
            return
        sleeper: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.add(sleeper)
        try:
            await sleeper
        finally:
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


@dataclass(slots=True, eq=False)
class Live:
    """One container in the engine's memory. `lock` is held over every change of its status.

    `overlay` is held, and taken before `lock`, by who mounts its root file system to write or takes it away: an upload
    into a stopped container may take its time, and keeps a start waiting, but no other verb.
    """

    record: Container
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    overlay: asyncio.Lock = field(default_factory=asyncio.Lock)
    bell: Bell = field(default_factory=Bell)  # rung at every change of status and whenever the log has grown
    is_removing: bool = False  # a removal is under way
    is_removed: bool = False
    keeps_on_exit: bool = False  # stopped to be started again at once: --rm does not remove it now
    exec_ids: list[str] = field(default_factory=list)  # of running execs
    timeline: dict[str, Any] = field(default_factory=dict)
    restart_task: asyncio.Task[None] | None = None
    backoff_s: float = 0.0
    sessions: int = 0  # attached clients that have not seen all output yet
    health: Any = None  # the engine's health monitor while the container runs
    _waiters: dict[Condition, set[asyncio.Future[dict[str, Any]]]] = field(default_factory=dict)

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
            for future in list(self._waiters.get(condition, ())):
                if not future.done():
                    future.set_result(dict(answer))

    def run_is_over(self, run: int) -> bool:
        """Whether run number `run` has been and is gone (or never came to be)."""
        state = self.record.state
        return self.is_removed or state.run > run or (state.run == run and not state.running)
