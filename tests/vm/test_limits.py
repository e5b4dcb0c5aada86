"""The limits of a start: they end one that stands still, not one that is slow.

The event loop's clock is virtual: where nothing is ready, it moves to the next timer at once.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any

import pytest

from desktop.vm.errors import VmError
from desktop.vm.guest import Guest
from desktop.vm.marks import Mark, Marks
from desktop.vm.opening import engine_is_idle, open_engine

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


class Scripted(Guest):
    """A guest that replies to each request with `reply` after `wait_s` virtual seconds, and meanwhile reports `word`
    every `every_s`."""

    def __init__(self, reply: str, wait_s: float, word: str = "", every_s: float = 0) -> None:
        super().__init__()
        self._reply, self._wait_s, self._word, self._every_s = reply, wait_s, word, every_s

    async def _send(self, line: str) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(self._wait_s, self._take, f"{line.split()[0]} {self._reply}")
        for n in range(1, int(self._wait_s / self._every_s) if self._every_s else 0):
            loop.call_later(n * self._every_s, self._take, f"mark {self._word} {n} detail")


def said(response: bytes) -> str:
    return f"ok {response.hex()}"


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


class Working(Guest):
    """A guest that has worked for `share` of the virtual time until `until_s`, and reports `word` then."""

    def __init__(self, share: float, until_s: float, word: str) -> None:
        super().__init__()
        self._share, self._until_s = share, until_s
        asyncio.get_running_loop().call_at(until_s, self._take, f"mark {word} 1")

    async def _send(self, line: str) -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(self._take, f"{line.split()[0]} ok {min(loop.time(), self._until_s) * self._share:.2f}")


def test_a_guest_that_works_is_waited_for_and_one_that_idles_is_not() -> None:
    async def works() -> None:
        await Working(0.5, 500, "modules").reach("modules", 60)

    async def works_and_hangs() -> None:
        with pytest.raises(VmError, match="no “modules” after 60 s"):
            await Working(0.5, 200, "network").reach("modules", 60)

    async def idles() -> None:
        with pytest.raises(VmError, match="no “modules” after 60 s"):
            await Working(0.01, 500, "modules").reach("modules", 60)

    assert run(works()) == pytest.approx(500)
    assert run(works_and_hangs()) == pytest.approx(320)
    assert run(idles()) == pytest.approx(60)


def test_an_error_of_the_guest_ends_the_wait() -> None:
    async def scenario() -> None:
        marks = Marks()
        waiting = asyncio.create_task(marks.wait("data", 60))
        await asyncio.sleep(1)
        marks.add(Mark("error", 0.0, "no disk"))
        with pytest.raises(VmError, match="does not start: no disk"):
            await waiting

    assert run(scenario()) == pytest.approx(1)


def test_an_engine_that_loads_for_long_is_waited_for_while_the_guest_reports_progress() -> None:
    async def scenario() -> None:
        await open_engine(Scripted(said(OPENED), 500, "working", 20), 60)

    assert run(scenario()) == pytest.approx(500)


def test_an_engine_that_never_replies_is_given_up() -> None:
    async def scenario() -> None:
        with pytest.raises(VmError, match="does not reply to “engine” within 60 s"):
            await open_engine(Scripted(said(OPENED), 1000), 60)

    assert run(scenario()) == pytest.approx(60)


def test_an_error_of_the_guest_ends_the_wait_for_the_engine() -> None:
    async def scenario() -> None:
        with pytest.raises(VmError, match="does not start: detail"):
            await open_engine(Scripted(said(OPENED), 1000, "error", 10), 60)

    assert run(scenario()) == pytest.approx(10)


def test_an_engine_that_refuses_is_quoted() -> None:
    refused = b'HTTP/1.1 500 Internal Server Error\r\n\r\n{"message": "the data root is read-only"}'

    async def scenario() -> None:
        with pytest.raises(VmError, match="does not open its data: the data root is read-only"):
            await open_engine(Scripted(said(refused), 1), 60)
        with pytest.raises(VmError, match="no such request"):
            await open_engine(Scripted("error no such request", 1), 60)

    run(scenario())


@pytest.mark.parametrize(("body", "idle"), [(b"[]\n", True), (b'[{"Id": "c"}]', False)])
def test_an_engine_without_running_containers_is_idle(body: bytes, idle: bool) -> None:
    async def scenario() -> None:
        assert await engine_is_idle(Scripted(said(b"HTTP/1.1 200 OK\r\n\r\n" + body), 1), 60) == idle

    run(scenario())


def test_an_engine_that_hangs_while_its_containers_work_is_not_asked_for_ever() -> None:
    async def scenario() -> None:
        with pytest.raises(VmError, match="does not list its containers within 10 s"):
            await engine_is_idle(Scripted(said(b"HTTP/1.1 200 OK\r\n\r\n[]"), 1000, "working", 1), 10)

    assert run(scenario()) == pytest.approx(10)


def test_an_engine_that_ended_once_and_was_started_again_may_be_idle() -> None:
    async def scenario() -> None:
        guest = Scripted(said(b"HTTP/1.1 200 OK\r\n\r\n[]"), 1)
        guest.marks.add(Mark("error", 5, "the engine ended with status 1 and is started again"))
        assert await engine_is_idle(guest, 10)

    run(scenario())
