"""Several containers at once: only visible rows are selected, and every command acts on exactly the selection."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from PySide6.QtCore import Qt

from tests.support.engine import NativeEngine
from tests.ui.conftest import OpenWindow
from tests.ui.containers import ContainersPage
from tests.ui.hands import CONTROL
from tests.ui.window import Window

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)

HIDDEN = ("ui-other", "ui-db")  # ui-db belongs to the same project as ui-svc-3
SEEN = ("ui-svc-1", "ui-svc-2", "ui-svc-3")
DELETE = Qt.Key.Key_Delete


@pytest.fixture
def window(engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str]) -> Window:
    """Five stopped containers, two of them in a project; the filter "ui-svc" shows three."""
    for name in (*SEEN, *HIDDEN):
        project = "ui-shop" if name in ("ui-svc-3", "ui-db") else ""
        flags = ("--label", f"com.docker.compose.project={project}") if project else ()
        named(name, "true", flags=flags)
    window = open_window(engine)
    for name in (*SEEN, *HIDDEN):
        window.containers.wait_until_says(name, "Exited 0")
    return window


def left(engine: NativeEngine) -> set[str]:
    """The test's containers that still exist."""
    names = engine.docker("ps", "-a", "--format", "{{.Names}}").stdout.split()
    return {name for name in names if name in SEEN + HIDDEN}


def delete_all(window: Window, page: ContainersPage, engine: NativeEngine) -> None:
    """Confirm the deletion of the three visible containers; wait until they are deleted."""
    assert "Delete 3 containers?" in window.dialog_words()
    assert list(window.ticks()) == ["Delete their anonymous volumes too"]
    assert any(all(name in line for name in SEEN) for line in window.dialog_words())
    window.press("Delete 3 containers")
    page.filter("")
    for name in SEEN:
        page.wait_until_gone(name)
    assert left(engine) == set(HIDDEN)


def test_ctrl_a_takes_only_what_the_filter_shows(window: Window, engine: NativeEngine) -> None:
    page = window.containers
    page.filter("ui-svc")
    page.press_on("ui-svc-1", Qt.Key.Key_A, CONTROL)
    assert page.bulk_text == "3 selected"
    page.press_in_bar("Delete…")
    delete_all(window, page, engine)


def test_the_box_in_the_head_takes_only_what_the_filter_shows(window: Window, engine: NativeEngine) -> None:
    page = window.containers
    page.filter("ui-svc")
    page.check_all()
    assert page.bulk_text == "3 selected"
    page.check_all()
    assert page.bulk_text == ""
    page.check_all()
    page.press(DELETE)
    delete_all(window, page, engine)


def test_the_box_of_a_project_takes_only_its_members_in_sight(window: Window) -> None:
    page = window.containers
    page.filter("ui-svc")
    page.check("ui-shop")
    assert page.bulk_text == "1 selected"


def test_a_changed_filter_drops_what_it_hides(window: Window) -> None:
    page = window.containers
    page.check("ui-svc-1", "ui-other", "ui-db")
    assert page.bulk_text == "3 selected"
    page.filter("ui-svc")
    assert page.bulk_text == "1 selected"
    page.filter("")
    assert page.bulk_text == "1 selected"
    page.choose_segment("Running")
    page.choose_segment("All")
    assert page.bulk_text == ""


def test_a_row_that_leaves_the_segment_leaves_the_selection(
    window: Window, engine: NativeEngine, named: Callable[..., str]
) -> None:
    page = window.containers
    named("ui-up", "sleep", "1000")
    page.wait_until_says("ui-up", "running")
    page.choose_segment("Running")
    page.check("ui-up")
    assert page.bulk_text == "1 selected"
    engine.docker("kill", "ui-up")
    page.wait_until_gone("ui-up")
    assert page.bulk_text == ""
    page.choose_segment("All")
    assert page.bulk_text == ""


def test_del_acts_on_what_the_bar_counts(window: Window) -> None:
    page = window.containers
    page.check("ui-svc-1", "ui-svc-2")
    page.press_on("ui-svc-2", DELETE)
    assert "Delete 2 containers?" in window.dialog_words()
    window.press("Keep them")
    page.press_on("ui-other", DELETE)  # another row is current: the bar shows 2 selected, so these 2 are deleted
    assert "Delete 2 containers?" in window.dialog_words()
    window.press("Keep them")
    page.press_in_bar("Select none")
    page.press_on("ui-other", DELETE)
    assert "Delete container ui-other?" in window.dialog_words()


def test_ctrl_period_and_copy_act_on_what_the_bar_counts(window: Window) -> None:
    window.go("activity")
    for name in (*SEEN, *HIDDEN):  # the first starts, and those of other tests, come with the engine's history
        window.activity.wait_until_happened(f"{name} started")
    window.activity.begin()
    window.go("containers")
    page = window.containers
    page.check("ui-svc-1", "ui-svc-2")
    page.press_on("ui-other", Qt.Key.Key_C, CONTROL)
    assert [line.split("\t")[0] for line in window.clipboard.splitlines()] == ["ui-svc-1", "ui-svc-2"]
    page.press(Qt.Key.Key_Period, CONTROL)
    for name in ("ui-svc-1", "ui-svc-2"):
        window.activity.wait_until_new(f"{name} started")
        window.activity.wait_until_new(f"{name} ended with status 0")
    started = [line for line in window.activity.new_lines() if line.endswith(" started")]
    assert sorted(started) == ["ui-svc-1 started", "ui-svc-2 started"]


def test_the_menu_of_a_selected_row_acts_on_all_that_are_selected(window: Window, engine: NativeEngine) -> None:
    page = window.containers
    page.check(*SEEN)
    assert page.menu_on("ui-svc-2") == ["Start", "Copy as text", "Delete 3…"]
    page.choose("Delete 3…")
    delete_all(window, page, engine)


def test_the_menu_of_another_row_gives_the_selection_up(window: Window) -> None:
    page = window.containers
    page.check("ui-svc-1", "ui-svc-2")
    assert "Logs" in page.menu_on("ui-other")
    assert page.bulk_text == ""
    page.choose("Delete…")
    assert "Delete container ui-other?" in window.dialog_words()
