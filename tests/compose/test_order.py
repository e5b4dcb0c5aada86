"""The order of work, and what becomes of a service's containers."""

from __future__ import annotations

import threading

import pytest

from desktop.compose import labels, order
from desktop.compose.model.service import Service
from desktop.compose.state import Container, Recreate, plan
from tests.support.limits import HANG_S

DIAMOND = {"top": ["left", "right"], "left": ["base"], "right": ["base", "elsewhere"], "base": []}


def test_a_name_comes_after_those_it_depends_on() -> None:
    assert order.sequence(DIAMOND) == ["base", "left", "right", "top"]
    assert order.sequence(order.reverse(DIAMOND)) == ["top", "left", "right", "base"]


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
