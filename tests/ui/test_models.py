"""The models keep Qt's rules while the engine's events change them, and show what the engine reported."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import FrameType
from typing import Any

import pytest
from PySide6.QtCore import QAbstractItemModel, QModelIndex, Qt
from pytestqt.modeltest import ModelTester
from pytestqt.qtbot import QtBot

from desktop.client.builds import Step
from desktop.client.engine import PullProgress
from desktop.ui.activity.model import KEPT, ActivityModel
from desktop.ui.builds.steps import StepModel
from desktop.ui.containers.filter import ContainerFilter, Segment
from desktop.ui.containers.model import HISTORY_S, Column, ContainerModel, Group
from desktop.ui.containers.processes_tab import Process, processes_of
from desktop.ui.feed.container import Container, Doing, Port, Usage, ports_of_inspect, ports_of_list
from desktop.ui.feed.happening import Happening
from desktop.ui.feed.image import Image
from desktop.ui.feed.inventory import Inventory
from desktop.ui.images.model import ImageModel, segments
from desktop.ui.kit.rows import RowFilter
from desktop.ui.kit.states import State
from desktop.ui.kit.words import natural
from desktop.ui.run.layers import LayerModel
from desktop.ui.shell.pages import spec_of
from desktop.ui.shell.sidebar import PagesModel
from tests.ui.finding import indexes


@pytest.fixture
def keeps_rules(request: pytest.FixtureRequest) -> Iterator[Callable[[QAbstractItemModel], None]]:
    """Check a model with pytest-qt's ModelTester at every change; one tester per model."""
    testers: list[ModelTester] = []

    def watch(model: QAbstractItemModel) -> None:
        testers.append(ModelTester(request.config))  # type: ignore[no-untyped-call]  # pytest-qt has no types here
        testers[-1].check(model, force_py=True)  # type: ignore[no-untyped-call]

    yield watch
    for tester in testers:
        tester._cleanup()  # type: ignore[no-untyped-call]


def container(name: str, project: str = "", **facts: Any) -> Container:
    labels = {"com.docker.compose.project": project, "com.docker.compose.service": name} if project else {}
    given = {"id": name * 8, "name": name, "image": "busybox", "status": "running", "labels": labels, **facts}
    return Container(**given)


def test_a_restarted_container_that_runs_keeps_the_status_of_its_last_end() -> None:
    """The engine says 0 while it runs."""
    inventory, started_s = Inventory(), time.time()
    running = container("loop", restart_count=4, started_s=started_s)
    inventory.load([running])
    assert running.note == "Restarted 4 times"
    inventory.put(container("loop", status="restarting", exit_code=5, restart_count=4, started_s=started_s))
    inventory.put(running)
    assert inventory.known(running).note == "Restarted 4 times, last exit status 5"


@pytest.mark.parametrize(
    ("facts", "state", "note"),
    [
        ({}, State.RUNNING, ""),
        ({"status": "paused"}, State.PAUSED, "Paused, keeps its memory"),
        ({"status": "exited"}, State.STOPPED, "Exited 0"),
        ({"status": "exited", "exit_code": 143}, State.STOPPED, "Stopped by signal 15"),
        ({"status": "exited", "exit_code": 1}, State.PROBLEM, "Exited 1"),
        (
            {"status": "exited", "exit_code": 137, "oom_killed": True, "memory_limit": 256 * 2**20},
            State.PROBLEM,
            "Exited 137, out of memory at 256 MB",
        ),
        ({"status": "created"}, State.STOPPED, "Not started yet"),
        ({"health": "starting"}, State.WORKING, "Waiting for its health check"),
        ({"health": "unhealthy"}, State.PROBLEM, "Its health check fails"),
        ({"doing": Doing.STOPPING}, State.WORKING, "Stopping"),
        ({"lost": True}, State.UNKNOWN, "Unknown, was running"),
        ({"lost": True, "status": "exited"}, State.STOPPED, "Exited 0"),
    ],
)
def test_a_row_says_its_state(facts: dict[str, Any], state: State, note: str) -> None:
    shown = container("a", **facts)
    assert (shown.state, shown.note) == (state, note)


def test_the_containers_keep_qts_rules_through_every_change(keeps_rules: Callable[[QAbstractItemModel], None]) -> None:
    model = ContainerModel()
    rows = ContainerFilter(model)
    keeps_rules(model)
    keeps_rules(rows)
    model.load([container("web", "shop"), container("db", "shop"), container("mail"), container("cron", "jobs")])
    model.put([container("web", "shop", status="exited"), container("new")])
    model.set_usage({"mail" * 8: Usage(cpu_percent=3.0, memory_bytes=2**20, memory_limit=0)})
    model.ask("mail" * 8, Doing.STOPPING)
    rows.choose("mail", Segment.ALL)
    rows.choose("", Segment.STOPPED)
    rows.choose("", Segment.ALL)
    model.drop(["cron" * 8, "db" * 8, "never there"])
    model.put([container("a", "shop"), container("b"), container("c", "new"), container("d", "new"), container("e")])
    model.drop(["a" * 8, "b" * 8, "c" * 8, "d" * 8])
    model.set_lost(time.time())
    model.set_lost(None)
    model.load([container("mail")])
    model.load([])
    assert model.rowCount() == 0


def test_projects_come_first_and_say_how_many_run(qtbot: QtBot) -> None:
    model = ContainerModel()
    rows = ContainerFilter(model)
    model.load(
        [container("zeta"), container("alpha"), container("web", "shop"), container("db", "shop", status="exited")]
    )
    assert [str(i.data()) for i in indexes(rows)] == ["shop", "db", "web", "alpha", "zeta"]
    group = rows.node(rows.index(0, 0))
    assert isinstance(group, Group)
    assert group.words == "1 of 2 running"
    rows.choose("web", Segment.ALL)
    assert [str(i.data()) for i in indexes(rows)] == ["shop", "web"]


@pytest.mark.parametrize("order", list(Qt.SortOrder), ids=lambda order: order.name)
@pytest.mark.parametrize("column", list(Column), ids=lambda column: column.name)
def test_what_comes_later_is_placed_as_a_sort_places_it(qtbot: QtBot, column: Column, order: Qt.SortOrder) -> None:
    shown = {
        name: container(name, project, image=image, started_s=float(started))
        for name, project, image, started in (
            ("a", "", "redis7", 5), ("7", "", "redis", 3), ("web", "shop", "redis", 4), ("db", "shop", "pg", 9),
            ("b", "zoo", "pg", 1), ("c10", "", "pg:2", 2), ("c9", "", "pg:10", 2),
        )
    }  # fmt: skip
    whole, grown = ContainerModel(), ContainerModel()
    sorted_at_once, placed = ContainerFilter(whole), ContainerFilter(grown)
    placed.sort(column, order)
    whole.load(shown.values())
    for each in shown.values():
        grown.put([each])
    for model in (whole, grown):
        model.set_usage(
            {
                each.id: Usage(cpu_percent=float(number % 3), memory_bytes=number % 2, memory_limit=0)
                for number, each in enumerate(shown.values())
            }
        )
    sorted_at_once.sort(column, order)
    assert [str(i.data()) for i in indexes(placed)] == [str(i.data()) for i in indexes(sorted_at_once)]


def test_a_sort_by_image_keeps_equal_images_together(qtbot: QtBot) -> None:
    model = ContainerModel()
    rows = ContainerFilter(model)
    images = {"a": "redis7", "7": "redis", "z": "redis"}
    model.load([container(name, image=image) for name, image in images.items()])
    rows.sort(Column.IMAGE)
    assert [str(i.data()) for i in indexes(rows)] == ["7", "z", "a"]


def test_what_was_asked_is_shown_until_the_answer(qtbot: QtBot) -> None:
    model = ContainerModel()
    model.load([container("a")])
    model.ask("a" * 8, Doing.RESTARTING)
    model.put([container("a", status="exited")])  # the event of the stop in the middle of a restart
    shown = model.container("a" * 8)
    assert shown is not None
    assert shown.note == "Restarting"
    model.ask("a" * 8, None)
    shown = model.container("a" * 8)
    assert shown is not None
    assert shown.note == "Exited 0"


class Counted:
    """Records the signals of `model` and counts calls of `list.index`."""

    def __init__(self, model: ContainerModel) -> None:
        self.changes: list[tuple[int, int, int, int]] = []  # first and last row, first and last column
        self.insertions = self.removals = self.searches = 0
        model.dataChanged.connect(self._on_changed)
        model.rowsInserted.connect(self._on_inserted)
        model.rowsRemoved.connect(self._on_removed)

    def during(self, work: Callable[[], object]) -> Counted:
        """Reset the records, then record while `work` runs."""
        self.changes, self.insertions, self.removals, self.searches = [], 0, 0, 0
        sys.setprofile(self._on_call)
        try:
            work()
        finally:
            sys.setprofile(None)
        return self

    def _on_call(self, _frame: FrameType, event: str, function: Any) -> None:
        if event == "c_call" and function.__name__ == "index" and isinstance(function.__self__, list):
            self.searches += 1

    def _on_changed(self, first: QModelIndex, last: QModelIndex) -> None:
        self.changes.append((first.row(), last.row(), first.column(), last.column()))

    def _on_inserted(self) -> None:
        self.insertions += 1

    def _on_removed(self) -> None:
        self.removals += 1


def test_a_change_of_many_rows_is_one_signal_and_searches_for_none(qtbot: QtBot) -> None:
    model = ContainerModel()
    rows = ContainerFilter(model)
    counted = Counted(model)
    many = [container(f"c{n}") for n in range(400)]
    usage = {each.id: Usage(cpu_percent=1.0, memory_bytes=1, memory_limit=0) for each in many}
    assert counted.during(lambda: model.load(many)).insertions == 1
    counted.during(lambda: model.set_usage(usage))
    assert counted.changes == [(0, 399, Column.CPU, Column.MEMORY)], "the names are not sorted anew"
    counted.during(lambda: model.set_usage({each.id: usage[each.id] for each in (*many[3:6], many[9])}))
    assert counted.changes == [(3, 5, Column.CPU, Column.MEMORY), (9, 9, Column.CPU, Column.MEMORY)]
    assert len(counted.during(lambda: model.set_lost(1.0)).changes) == 1
    assert all(c.lost for c in model.containers())
    assert len(counted.during(lambda: model.set_lost(None)).changes) == 1
    counted.during(lambda: model.put([replace(each, status="exited") for each in many]))
    assert (len(counted.changes), counted.searches) == (1, 0)
    counted.during(lambda: model.drop([each.id for each in many[100:300]]))
    assert (counted.removals, counted.searches) == (1, 0)
    assert [model.container(each.id) is not None for each in many] == [not 100 <= n < 300 for n in range(400)]
    assert rows.rowCount() == model.rowCount() == 200


def test_a_row_that_has_looked_the_same_for_its_whole_history_does_not_change(qtbot: QtBot) -> None:
    model = ContainerModel()
    counted = Counted(model)
    busy, idle = container("busy"), container("idle")
    model.load([busy, idle])

    def sample(percent: float) -> list[tuple[int, int, int, int]]:
        used = {busy.id: percent, idle.id: 0.0}
        usage = {key: Usage(cpu_percent=cpu, memory_bytes=1, memory_limit=0) for key, cpu in used.items()}
        return counted.during(lambda: model.set_usage(usage)).changes

    both, one = [(0, 1, Column.CPU, Column.MEMORY)], [(0, 0, Column.CPU, Column.MEMORY)]
    assert [sample(float(n)) for n in range(HISTORY_S + 1)] == [both] * (HISTORY_S + 1)
    assert [sample(float(n)) for n in range(3)] == [one] * 3
    model.set_usage({idle.id: Usage(cpu_percent=1.0, memory_bytes=1, memory_limit=0)})
    assert sample(1.0) == both, "what has changed is in sight for as long"


def test_members_of_projects_are_found_without_a_search_too(qtbot: QtBot) -> None:
    model = ContainerModel()
    rows = ContainerFilter(model)
    counted = Counted(model)
    many = [container(f"c{n}", f"p{n % 10}") for n in range(200)]
    assert counted.during(lambda: model.load(many)).insertions == 1
    usage = {each.id: Usage(cpu_percent=1.0, memory_bytes=1, memory_limit=0) for each in many}
    for change in (
        lambda: model.set_usage(usage),
        lambda: model.set_lost(1.0),
        lambda: model.set_lost(None),
        lambda: model.put([replace(each, status="exited") for each in many]),
    ):
        counted.during(change)
        assert (len(counted.changes), counted.searches) == (11, 0), "the projects, and the members of each"
    counted.during(lambda: indexes(rows))
    assert counted.searches == 0
    counted.during(lambda: model.drop([each.id for each in many if each.project != "p3"]))
    assert counted.searches == 0
    assert [str(i.data()) for i in indexes(rows)] == [
        "p3",
        *sorted((each.title for each in many if each.project == "p3"), key=natural),
    ]


def test_images_pages_layers_and_activity_keep_qts_rules(
    keeps_rules: Callable[[QAbstractItemModel], None], qtbot: QtBot
) -> None:
    images = ImageModel()
    shown = RowFilter(images, segments())
    keeps_rules(images)
    images.load_images(
        [
            Image(id="sha256:aa", tags=("b:1", "a:1"), size=10, created_s=0),
            Image(id="sha256:bb", tags=(), size=5, created_s=0),
        ]
    )
    images.load_images([Image(id="sha256:aa", tags=("a:1",), size=10, created_s=0, used_by=("x",))])
    shown.choose("", 1)
    assert [segments()[1].title, *(str(i.data()) for i in indexes(shown))] == ["In use", "a:1"]
    pages = PagesModel([spec_of("images")])
    keeps_rules(pages)
    pages.set_count("images", 4)
    layers = LayerModel()
    keeps_rules(layers)
    layers.take([PullProgress("aaaa", "Already exists", 0, 0, True), PullProgress("bbbb", "Downloading", 5, 20, True)])
    assert layers.fraction == (5, 20)
    layers.take([PullProgress("bbbb", "Extracting", 20, 20, True), PullProgress("bbbb", "Pull complete", 0, 0, True)])
    assert layers.fraction == (20, 20)
    assert [str(i.data()) for i in indexes(layers)] == ["1 layer already here", "bbbb, Done"]
    activity = ActivityModel(lambda container_id: "web", lambda container_id: "")
    keeps_rules(activity)
    joined = Happening(
        at_s=1, kind="network", action="connect", object_id="n", name="bridge", attributes={"container": "c"}
    )
    died = Happening(at_s=2, kind="container", action="die", object_id="c", name="web", attributes={"exitCode": "3"})
    activity.add([joined, died])
    qtbot.waitUntil(lambda: activity.rowCount() == 2)
    assert [str(activity.index(n).data()).split(" ", 1)[1] for n in range(2)] == [
        "web ended with status 3",
        "web joined network bridge",
    ]


def test_the_past_never_pushes_out_what_has_just_happened(qtbot: QtBot) -> None:
    def happenings(first: int, count: int) -> list[Happening]:
        numbers = range(first, first + count)
        return [Happening(at_s=n, kind="container", action="start", object_id="c", name=f"c{n}") for n in numbers]

    activity = ActivityModel(lambda container_id: "", lambda container_id: "")
    activity.add(happenings(KEPT, KEPT - 2))
    qtbot.waitUntil(lambda: activity.total == KEPT - 2)
    for _ in range(2):  # the second time there is no room at all
        activity.add_past(happenings(0, KEPT), {})
        names = [str(index.data()).split(" ")[1] for index in indexes(activity)]
        assert (len(names), activity.total) == (KEPT, KEPT)
        assert (names[0], names[-3:]) == (f"c{2 * KEPT - 3}", [f"c{KEPT}", f"c{KEPT - 1}", f"c{KEPT - 2}"])


@pytest.mark.spec("Engine API, ContainerSummary and NetworkSettings: Ports")
def test_a_port_is_shown_once_for_both_families() -> None:
    expected = (Port(port=80, protocol="tcp", host_port=8080, address="0.0.0.0"),)
    entry = {"PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"}
    assert (
        ports_of_list([{**entry, "IP": "0.0.0.0"}, {**entry, "IP": "::"}, {"PrivatePort": 90, "Type": "tcp"}])
        == expected
    )
    bindings = [{"HostIp": "::", "HostPort": "8080"}, {"HostIp": "0.0.0.0", "HostPort": "8080"}]
    assert ports_of_inspect({"80/tcp": bindings, "90/tcp": None}) == expected


def test_a_row_of_ps_may_end_early() -> None:
    table = {"Titles": ["PID", "TIME", "CMD"], "Processes": [["1", "2", "sleep 9"], ["7"]]}
    assert processes_of(table) == [Process(pid=1, parent=-1, cpu_s=2, command="sleep 9"), Process(pid=7, parent=-1)]
    with pytest.raises(ValueError, match="invalid literal"):
        processes_of({"Titles": ["CMD"], "Processes": [["sleep 9"]]})


def test_steps_of_a_running_build_are_inserted_where_they_belong(
    keeps_rules: Callable[[QAbstractItemModel], None],
) -> None:
    model, steps, resets = StepModel(), list[Step](), list[None]()
    keeps_rules(model)
    model.modelReset.connect(lambda: resets.append(None))
    for name in ("[base 1/2] RUN a", "[last 1/1] RUN b", "[base 2/2] RUN c"):
        steps.append(Step(id=name, name=name, inputs=(), cached=False, started_s=1.0, ended_s=2.0, error=""))
        model.load(steps)
    assert [row.text for row in model.rows] == ["stage base", "RUN a", "RUN c", "stage last", "RUN b"]
    assert not resets
    model.load(steps[1:])
    assert [row.text for row in model.rows] == ["stage last", "RUN b", "stage base", "RUN c"]
    assert len(resets) == 1
