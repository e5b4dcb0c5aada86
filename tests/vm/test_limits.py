"""The limits of a start: they end one that stands still, not one that is slow.

The event loop's clock is virtual: where nothing is ready, it moves to the next timer at once.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any

import pytest

from desktop.tunnel.transport import Stream, TunnelError
from desktop.vm.control import Mark
from desktop.vm.errors import VmError
from desktop.vm.marks import Marks
from desktop.vm.opening import open_engine

OPENED = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"


class Leaping(selectors.DefaultSelector):
    """A selector that never waits, and adds up the timeouts that it was called with."""

    def __init__(self) -> None:
        super().__init__()
        self.waited_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.waited_s += timeout or 0.0
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock is the time that its selector was asked to wait."""

    def __init__(self) -> None:
        self._leaping = Leaping()
        super().__init__(self._leaping)

    def time(self) -> float:
        return self._leaping.waited_s


def run(scenario: Coroutine[Any, Any, None]) -> float:
    """Run `scenario`; returns how many virtual seconds it took."""
    loop = VirtualLoop()
    try:
        loop.run_until_complete(scenario)
        return loop.time()
    finally:
        loop.close()


class Engine(Stream):
    """The engine's end of one stream: it replies with `reply` after `wait_s`."""

    def __init__(self, wait_s: float, reply: bytes) -> None:
        self._wait_s, self._rest = wait_s, [reply] if reply else []

    async def read(self) -> bytes:
        await asyncio.sleep(self._wait_s)
        return self._rest.pop() if self._rest else b""

    async def write(self, data: bytes) -> None:
        pass

    async def write_eof(self) -> None:
        pass

    def close(self) -> None:
        pass


class Carrier:
    """A tunnel to an engine that listens after `listens_at` virtual seconds."""

    def __init__(self, listens_at: float, engine: Engine) -> None:
        self.gone = asyncio.Event()
        self._listens_at, self._engine = listens_at, engine

    async def open_stream(self, path: str) -> Stream:
        if asyncio.get_running_loop().time() < self._listens_at:
            raise TunnelError(f"nothing answers at {path} in the VM")
        return self._engine

    async def close(self) -> None:
        pass


def test_each_mark_of_the_guest_gives_the_next_one_the_whole_limit() -> None:
    marks = Marks()

    async def guest() -> None:
        for word in ("init", "engine", "network", "sshd"):
            await asyncio.sleep(50)
            marks.add(Mark(word, 0.0, ""))

    async def scenario() -> None:
        booting = asyncio.create_task(guest())
        assert (await marks.wait("sshd", 60)).word == "sshd"
        await booting

    assert run(scenario()) == pytest.approx(200)


def test_a_guest_that_stands_still_is_given_up() -> None:
    async def scenario() -> None:
        marks = Marks()
        marks.add(Mark("init", 0.0, ""))
        with pytest.raises(VmError, match="no “sshd” after 60 s"):
            await marks.wait("sshd", 60)

    assert run(scenario()) == pytest.approx(60)


def test_an_error_of_the_guest_ends_the_wait() -> None:
    async def scenario() -> None:
        marks = Marks()
        waiting = asyncio.create_task(marks.wait("data", 60))
        await asyncio.sleep(1)
        marks.add(Mark("error", 0.0, "no disk"))
        with pytest.raises(VmError, match="does not start: no disk"):
            await waiting

    assert run(scenario()) == pytest.approx(1)


def test_an_engine_that_listens_has_the_whole_limit_for_its_reply() -> None:
    async def scenario() -> None:
        await open_engine(Carrier(50, Engine(25, OPENED)), 60)

    assert run(scenario()) == pytest.approx(100, abs=1)


def test_an_engine_that_never_replies_is_given_up() -> None:
    async def scenario() -> None:
        with pytest.raises(VmError, match="does not answer within 60 s"):
            await open_engine(Carrier(50, Engine(1000, OPENED)), 60)

    assert run(scenario()) == pytest.approx(110, abs=1)


def test_an_engine_that_ends_at_each_request_is_given_up() -> None:
    async def scenario() -> None:
        with pytest.raises(VmError, match="does not answer within 60 s"):
            await open_engine(Carrier(0, Engine(1, b"")), 60)

    assert run(scenario()) == pytest.approx(60, abs=1)
