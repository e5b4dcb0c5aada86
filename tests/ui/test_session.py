"""How the window follows an engine: its requests at each change, and how it handles error replies."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pytestqt.qtbot import QtBot

from desktop.client.engine import Endpoint
from desktop.ui.feed import usage
from desktop.ui.feed.container import Container, Usage
from desktop.ui.feed.image import Image
from desktop.ui.feed.session import EngineSession
from desktop.ui.feed.workers import Latest, Workers
from tests.support.limits import HANG_S
from tests.ui.scripted_engine import IMAGE, ScriptedEngine, scripted_engine

LIMIT_MS = int(HANG_S * 1000)


class Followed:
    """A session on a scripted engine, and the signals that it emitted."""

    def __init__(self, engine: ScriptedEngine, session: EngineSession, qtbot: QtBot) -> None:
        self.engine, self.session, self._qtbot = engine, session, qtbot
        self.containers: dict[str, Container] = {}
        self.images: list[Image] = []
        self.usage: dict[str, Usage] = {}
        self.measured = 0
        self.happened: list[str] = []  # actions
        self.unread: list[tuple[str, str]] = []
        session.loaded.connect(self._put)
        session.changed.connect(self._put)
        session.dropped.connect(self._drop)
        session.images.connect(self._on_images)
        session.measured.connect(self._on_measured)
        session.happened.connect(lambda found: self.happened.extend(each.action for each in found))
        session.unread.connect(lambda what, why: self.unread.append((what, why)))

    def _put(self, containers: list[Container]) -> None:
        self.containers |= {container.id: container for container in containers}

    def _drop(self, ids: list[str]) -> None:
        for container_id in ids:
            self.containers.pop(container_id, None)

    def _on_images(self, images: list[Image]) -> None:
        self.images = images

    def has_measured(self, count: int) -> bool:
        return self.measured == count

    def _on_measured(self, found: dict[str, Usage]) -> None:
        self.measured += 1
        self.usage |= found

    def wait(self, holds: Callable[[], Any]) -> None:
        self._qtbot.waitUntil(lambda: bool(holds()), timeout=LIMIT_MS)

    def inspected(self) -> list[str]:
        """Names of the containers whose details are known; the start time comes only from an inspect."""
        return sorted(c.name for c in self.containers.values() if c.started_s)

    def wait_until_complete(self) -> None:
        """Wait until all details and the images are known."""
        self.wait(lambda: self.images and len(self.inspected()) == len(self.engine.names))

    def new_requests(self) -> list[str]:
        """The requests since the last call."""
        asked, self.engine.requests = self.engine.requests, []
        return sorted(asked)


Follow = Callable[[int], Followed]


@pytest.fixture
def follow(qtbot: QtBot, tmp_path: Path) -> Iterator[Follow]:
    with ExitStack() as closing:

        def start(containers: int) -> Followed:
            engine = closing.enter_context(scripted_engine(tmp_path / "s", containers))
            workers = Workers()
            session = EngineSession(Endpoint.local(tmp_path / "s"), "other", workers)
            closing.callback(session.client.close)
            closing.callback(workers.close)
            closing.callback(session.close)
            closing.callback(engine.end)
            return Followed(engine, session, qtbot)

        yield start


def test_a_read_that_fails_is_repeated_and_drops_nothing_else(follow: Follow) -> None:
    followed = follow(5)
    bad = f"/containers/{2:064x}/json"
    followed.engine.failures = {bad: [500], "/images/json": [503]}
    followed.session.open()
    followed.wait_until_complete()
    assert followed.inspected() == ["c0", "c1", "c2", "c3", "c4"]
    assert followed.images[0].used_by == ("c0", "c1", "c2", "c3", "c4")
    asked = followed.new_requests()
    assert (asked.count(bad), asked.count("/images/json")) == (2, 2), "once more each, and no more"
    followed.wait(lambda: len(followed.unread) == 2)
    assert sorted(followed.unread) == [("Container c2", "scripted 500"), ("The list of images", "scripted 503")]


def test_a_create_and_a_die_cost_one_inspect_each(follow: Follow) -> None:
    followed = follow(3)
    followed.session.open()
    followed.wait_until_complete()
    followed.new_requests()
    new = f"{9:064x}"
    followed.engine.names[new] = "c9"
    followed.engine.publish("container", "create", new, name="c9")
    followed.wait(lambda: new in followed.containers)
    followed.wait(lambda: "c9" in followed.images[0].used_by)
    followed.engine.publish("container", "die", new, name="c9")
    followed.wait(lambda: len(followed.engine.requests) >= 2)
    del followed.engine.names[new]
    followed.engine.publish("container", "destroy", new, name="c9")
    followed.wait(lambda: new not in followed.containers and "c9" not in followed.images[0].used_by)
    assert followed.new_requests() == [f"/containers/{new}/json"] * 2


def test_an_answer_that_was_asked_for_earlier_does_not_undo_a_verb(follow: Follow) -> None:
    followed, only = follow(1), f"{0:064x}"
    engine, inspect = followed.engine, f"/containers/{only}/json"
    followed.session.open()
    followed.wait_until_complete()
    followed.new_requests()
    shown: list[str] = []
    followed.session.changed.connect(lambda found: shown.extend(each.status for each in found))
    engine.gate = first = threading.Event()
    engine.publish("network", "connect", "n", container=only)
    followed.wait(lambda: engine.inspecting == 1)
    engine.gate, engine.status = threading.Event(), "paused"
    engine.gate.set()
    ended: list[Exception | None] = []
    followed.session.act("pause", followed.containers[only], lambda: ended.append(None), ended.append)
    followed.wait(lambda: ended and shown)
    assert ended == [None]
    engine.gate = threading.Event()
    engine.publish("container", "pause", only)
    first.set()
    followed.wait(lambda: engine.requests.count(inspect) == 3)  # it begins once the first is answered
    engine.image_tags = ["busybox:latest", "busybox:2"]
    engine.publish("image", "tag", IMAGE)
    followed.wait(lambda: len(followed.images[0].tags) == 2)  # told after the first
    assert shown == ["paused"]


def test_a_container_that_goes_while_it_is_asked_who_ended_it_leaves_the_others_their_reasons(follow: Follow) -> None:
    followed = follow(2)
    followed.session.open()
    followed.wait_until_complete()
    engine = followed.engine
    gone, ended = engine.names
    engine.status, engine.ended_by = "exited", "user"
    engine.failures |= {f"/containers/{gone}/json": [200, 404], f"/cove/v1/containers/{gone}/timeline": [404]}
    engine.publish("container", "die", gone)
    followed.wait(lambda: gone not in followed.containers)
    engine.publish("container", "die", ended)
    followed.wait(lambda: followed.containers[ended].status == "exited")
    assert followed.containers[ended].ended_by == "user"


def test_an_event_of_an_image_costs_the_list_of_images(follow: Follow) -> None:
    followed = follow(3)
    followed.session.open()
    followed.wait_until_complete()
    followed.new_requests()
    followed.engine.image_tags = ["busybox:latest", "busybox:2"]
    followed.engine.publish("image", "tag", IMAGE)
    followed.wait(lambda: len(followed.images[0].tags) == 2)
    assert followed.images[0].used_by == ("c0", "c1", "c2")
    assert followed.new_requests() == ["/images/json"]


def test_the_first_contact_shows_the_list_and_reads_the_details_side_by_side(follow: Follow) -> None:
    followed = follow(20)
    followed.engine.gate.clear()
    followed.session.open()
    followed.wait(lambda: len(followed.containers) == 20)
    followed.wait(lambda: followed.engine.inspecting > 1)
    assert followed.inspected() == []
    followed.engine.gate.set()
    followed.wait_until_complete()
    assert followed.engine.most_inspecting <= 4
    asked = followed.new_requests()
    assert asked.count("/containers/json") == 1
    assert asked.count("/images/json") == 1
    assert sum(path.endswith("/json") for path in asked) == 22, "one inspect for each container"


def test_what_an_event_names_is_read_before_the_details_of_the_others(follow: Follow) -> None:
    followed = follow(40)
    followed.engine.gate.clear()
    followed.session.open()
    followed.wait(lambda: followed.engine.inspecting == 4)
    last = f"{39:064x}"
    followed.engine.publish("container", "start", last)
    followed.wait(lambda: "start" in followed.happened)
    followed.engine.gate.set()
    followed.wait(lambda: last in followed.containers and followed.containers[last].started_s)
    asked = [path for path in followed.engine.requests if path.startswith("/containers/0")]
    followed.wait_until_complete()
    assert asked.index(f"/containers/{last}/json") < 39


def test_one_stream_measures_all_containers_while_some_are_in_sight(follow: Follow) -> None:
    """The totals count the rows out of sight too; this costs no request more."""
    followed = follow(30)
    followed.session.open()
    followed.wait_until_complete()
    followed.new_requests()
    seen = list(followed.engine.names)[:12]
    followed.session.measure(seen)
    for round_number in range(1, 4):
        followed.engine.usage_rounds.release(2 if round_number == 1 else 1)  # a rate needs two
        followed.wait(partial(followed.has_measured, round_number))
    assert followed.usage.keys() == set(followed.engine.names)
    assert {used.memory_bytes for used in followed.usage.values()} == {7}
    assert followed.new_requests() == ["/cove/v1/stats"]


def test_an_engine_without_the_stream_is_asked_by_one_pool(follow: Follow, monkeypatch: pytest.MonkeyPatch) -> None:
    made = 0

    class CountedPool(ThreadPoolExecutor):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            nonlocal made
            made += 1
            super().__init__(*arguments, **named)

    monkeypatch.setattr(usage, "ThreadPoolExecutor", CountedPool)
    monkeypatch.setattr(usage, "PERIOD_S", 0.01)
    followed = follow(12)
    followed.engine.has_usage_stream = False
    followed.session.open()
    followed.wait_until_complete()
    followed.new_requests()
    followed.session.measure(list(followed.engine.names)[:9])
    followed.wait(lambda: followed.measured >= 4 and len(followed.usage) == 9)
    asked = followed.new_requests()
    assert made == 1
    assert asked.count("/cove/v1/stats") == 1, "asked for once, then known to be missing"
    assert all(path.endswith("/stats") for path in asked)


def test_an_error_that_nobody_expects_is_raised_here_and_ends_the_waiting(qtbot: QtBot) -> None:
    workers, told = Workers(), list[Exception]()
    latest = Latest(workers)

    def job() -> None:
        raise KeyError("a defect")

    try:
        with qtbot.capture_exceptions() as raised:
            latest.run(job, lambda _none: None, told.append)
            qtbot.waitUntil(lambda: bool(raised), timeout=LIMIT_MS)
    finally:
        workers.close()
    assert [type(error) for error in told] == [KeyError]
    assert [kind for kind, _, _ in raised] == [KeyError]
    assert not latest.is_waiting
