"""The order of work, and what becomes of a service's containers."""

from __future__ import annotations

import threading
import time
from _thread import start_new_thread
from collections.abc import Callable

import pytest

from desktop.compose import labels, order
from desktop.compose.model.service import Service
from desktop.compose.state import Container, Recreate, plan
from tests.support.limits import HANG_S

DIAMOND = {"top": ["left", "right"], "left": ["base"], "right": ["base", "elsewhere"], "base": []}


def test_a_name_comes_after_those_it_depends_on() -> None:
    assert order.sequence(DIAMOND) == ["base", "left", "right", "top"]
    assert order.sequence(order.reverse(DIAMOND)) == ["top", "left", "right", "base"]


def test_the_order_of_a_few_goes_through_the_others() -> None:
    chain = {"web": ["api"], "api": ["cache", "db"], "cache": ["db"], "db": [], "alone": []}
    assert order.among(chain, ["web", "db", "alone"]) == {"web": {"db"}, "db": set(), "alone": set()}
    assert order.among(chain, chain) == {name: set(needed) for name, needed in chain.items()}


def test_what_is_independent_runs_at_the_same_time() -> None:
    both = threading.Barrier(2)
    done: list[str] = []

    def work(name: str) -> None:
        if name in ("left", "right"):
            both.wait(HANG_S)  # breaks unless both run at once
        done.append(name)

    order.each(DIAMOND, work)
    assert done[0] == "base"
    assert done[3] == "top"


def test_no_more_than_the_limit_run_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "_at_once", 3)
    full, running, most = threading.Barrier(3), set(), []

    def work(name: str) -> None:
        running.add(name)
        most.append(len(running))
        full.wait(HANG_S)  # breaks unless three run at once
        running.discard(name)
        full.wait(HANG_S)

    order.each({str(number): () for number in range(9)}, work)
    assert (len(most), max(most)) == (9, 3)


def test_an_early_end_drops_what_is_queued(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "_at_once", 1)
    begun, go_on, done = threading.Event(), threading.Event(), []

    def work(name: str) -> None:
        begun.set()
        go_on.wait(HANG_S)
        done.append(name)

    def let_go() -> None:
        while threads._names.qsize() > 1:  # one word to the thread is left: that there is no more to do
            time.sleep(0.001)
        go_on.set()

    threads = order._Threads(work)
    with threads:
        for name in ("a", "b", "c"):
            threads.begin(name)
        assert begun.wait(HANG_S)
        threading.Thread(target=let_go).start()
    assert done == ["a"]


def test_a_thread_that_cannot_be_made_is_an_error_and_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []

    def start(function: Callable[[], object], args: tuple[()]) -> int:
        if started:
            raise RuntimeError("can't start new thread")
        started.append(start_new_thread(function, args))
        return started[0]

    monkeypatch.setattr(order, "start_new_thread", start)
    found: list[BaseException] = []

    def run() -> None:
        with pytest.raises(RuntimeError, match="can't start new thread") as raised:
            order.each({"one": (), "two": ()}, lambda _: None)
        found.append(raised.value)

    running = threading.Thread(target=run, daemon=True)
    running.start()
    running.join(HANG_S)
    assert found


def test_after_a_failure_nothing_new_begins() -> None:
    done: list[str] = []

    def work(name: str) -> None:
        done.append(name)
        if name == "left":
            raise ValueError(name)

    with pytest.raises(ValueError, match="left"):
        order.each(DIAMOND, work)
    assert "top" not in done


def _container(number: int, hash: str = "h", image: str = "i") -> Container:
    marks = {labels.HASH: hash, labels.IMAGE: image}
    return Container(f"id{number}", f"p-s-{number}", "s", number, "running", marks, {})


@pytest.mark.parametrize(
    ("scale", "present", "recreate", "kept", "recreated", "removed", "created"),
    [
        (2, [], Recreate.CHANGED, [], [], [], [1, 2]),
        (1, [_container(1)], Recreate.CHANGED, [1], [], [], []),
        (1, [_container(1, hash="old")], Recreate.CHANGED, [], [1], [], []),
        (1, [_container(1, image="old")], Recreate.CHANGED, [], [1], [], []),
        (1, [_container(1, hash="old")], Recreate.NEVER, [1], [], [], []),
        (1, [_container(1)], Recreate.ALWAYS, [], [1], [], []),
        (1, [_container(1, hash="old"), _container(2)], Recreate.CHANGED, [2], [], [1], []),
        (3, [_container(2)], Recreate.CHANGED, [2], [], [], [3, 4]),
        (0, [_container(1), _container(2)], Recreate.CHANGED, [], [], [1, 2], []),
    ],
)
def test_only_what_differs_is_touched(
    scale: int,
    present: list[Container],
    recreate: Recreate,
    kept: list[int],
    recreated: list[int],
    removed: list[int],
    created: list[int],
) -> None:
    found = plan(Service(name="s", scale=scale), "h", "i", present, recreate)
    assert [one.number for one in found.keep] == kept
    assert [one.number for one in found.recreate] == recreated
    assert [one.number for one in found.remove] == removed
    assert list(found.create) == created
