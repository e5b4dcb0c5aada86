"""The engine's threads for blocking calls."""

from __future__ import annotations

import asyncio
import threading
from functools import partial

import pytest

from tests.support.limits import HANG_S
from tests.support.logs import LOGS
from tests.support.waiting import wait_until
from vmagent.engine.threads import Threads, run_alone


def test_one_thread_runs_calls_in_their_order() -> None:
    async def use() -> tuple[list[int], list[int]]:
        threads, ran = Threads(1, "one"), list[int]()

        def call(number: int) -> int:
            ran.append(number)
            return number

        results = await asyncio.gather(*(threads.run(partial(call, number)) for number in range(100)))
        threads.close()
        return ran, results

    assert asyncio.run(use()) == (list(range(100)), list(range(100)))


def test_calls_run_beside_each_other_up_to_the_limit() -> None:
    async def use() -> int:
        threads, meeting = Threads(3, "three"), threading.Barrier(3, timeout=HANG_S)
        met = await asyncio.gather(*(threads.run(meeting.wait) for _ in range(3)))
        threads.close()
        return len(set(met))

    assert asyncio.run(use()) == 3


@pytest.mark.parametrize(("raised", "seen"), [(OSError("full"), OSError), (StopIteration(), RuntimeError)])
def test_an_exception_reaches_the_caller(raised: Exception, seen: type[Exception]) -> None:
    def call() -> None:
        raise raised

    async def use() -> None:
        threads = Threads(1, "one")
        with pytest.raises(seen):
            await threads.run(call)
        threads.close()

    asyncio.run(use())


def test_a_call_that_is_cancelled_before_it_began_does_not_run() -> None:
    async def use() -> list[str]:
        threads, ran, go = Threads(1, "one"), list[str](), threading.Event()

        def call(name: str) -> None:
            go.wait(HANG_S)
            ran.append(name)

        first = threads.run(partial(call, "first"))
        second = threads.run(partial(call, "second"))
        second.cancel()
        go.set()
        await first
        threads.close()
        return ran

    assert asyncio.run(use()) == ["first"]


def test_close_waits_for_what_was_submitted() -> None:
    threads, ran, go = Threads(1, "one"), list[int](), threading.Event()

    def call() -> None:
        go.wait(HANG_S)
        ran.append(1)

    threads.submit(call)
    threading.Timer(0.05, go.set).start()
    threads.close()
    assert ran == [1]


@pytest.mark.logs("thread.failed")
def test_a_submitted_call_that_fails_is_logged_and_the_next_runs() -> None:
    threads, ran = Threads(1, "one"), threading.Event()

    def fail() -> None:
        raise OSError("full")

    threads.submit(fail)
    threads.submit(ran.set)
    threads.close()
    assert ran.is_set()
    assert [record.event for record in LOGS.take()] == ["thread.failed"]


def test_a_call_alone_returns_fails_or_is_left_behind() -> None:
    go = threading.Event()

    def fail() -> None:
        raise OSError("away")

    async def use() -> str:
        left = run_alone(partial(go.wait, HANG_S), "left behind")
        with pytest.raises(OSError, match="away"):
            await run_alone(fail, "fails")
        assert not left.done()
        return await run_alone(lambda: "returned", "returns")

    assert asyncio.run(use()) == "returned"
    go.set()  # its loop is closed: it ends without a word
    for thread in threading.enumerate():
        if thread.name == "left behind":
            thread.join(HANG_S)


def test_calls_one_after_the_other_go_to_one_thread() -> None:
    threads, used = Threads(3, "three"), list[int]()
    for count in range(1, 21):
        threads.submit(lambda: used.append(threading.get_ident()))
        wait_until(lambda count=count: len(used) == count and len(threads._idle) == min(count, 3))  # type: ignore[misc]
    threads.close()
    assert len(set(used[3:])) == 1
