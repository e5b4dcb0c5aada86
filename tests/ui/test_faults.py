"""Faults of the window that were found by mouse and keyboard, each as the user met it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import QPoint, QSettings, Qt
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from desktop.client.engine import Endpoint
from desktop.context import NATIVE, Context
from desktop.paths import HostPaths, host_paths
from desktop.settings.store import Store
from desktop.ui.feed.engine import EnginePhase
from desktop.ui.kit import toasts
from desktop.ui.kit.theme import Theme
from desktop.ui.run.options import RunWish
from desktop.ui.shell.application import Application
from desktop.ui.shell.look import kept_theme
from tests.support.engine import NativeEngine
from tests.support.limits import HANG_S
from tests.ui.conftest import OpenWindow
from tests.ui.hands import CONTROL, LIMIT_MS
from tests.ui.opening import cove_in
from tests.ui.window import Window

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)


def test_an_engine_that_hangs_is_told_and_found_again(own_engine: NativeEngine, open_window: OpenWindow) -> None:
    own_engine.docker("run", "-d", "--name", "ui-kept", "busybox", "sleep", "1000")
    window = open_window(own_engine)
    window.containers.wait_until_says("ui-kept", "running")
    pid = own_engine.pid_of("cove-engine")
    os.kill(pid, signal.SIGSTOP)
    try:
        window.wait_until_lost()
        assert "No answer since" in window.banner_sentence
        window.containers.wait_until_says("ui-kept", "Unknown, was running")
    finally:
        os.kill(pid, signal.SIGCONT)
    window.wait_until_connected()
    window.containers.wait_until_says("ui-kept", "running")
    own_engine.docker("rm", "-f", "ui-kept")


def test_theme_and_zoom_are_kept(
    engine: NativeEngine, open_window: OpenWindow, theme: Theme, tmp_path: Path, qtbot: QtBot
) -> None:
    window = open_window(engine)
    window.palette.type("Use the dark theme")
    window.palette.press(Qt.Key.Key_Return)
    window.key(Qt.Key.Key_Plus, CONTROL)
    assert (theme.scheme, theme.zoom) == ("dark", 1)
    store = Store(host_paths({"COVE_HOME": str(tmp_path / "home")}, "linux"), {})

    def kept() -> tuple[str, int]:
        theme = kept_theme(store, None)
        return theme.scheme, theme.zoom

    qtbot.waitUntil(lambda: kept() == ("dark", 1), timeout=LIMIT_MS)
    assert kept_theme(store, "light").scheme == "light"
    window.key(Qt.Key.Key_0, CONTROL)


def test_totals_count_rows_that_nobody_has_scrolled_to(
    engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str]
) -> None:
    for number in range(14):
        named(f"ui-many-{number}", "sleep", "1000")
    window = open_window(engine)
    window.resize(960, 600)
    page = window.containers
    page.wait_until_measured("ui-many-0")
    page.wait_until_measured("ui-many-13")
    assert not page.is_in_sight("ui-many-13")


def test_the_focus_is_where_it_was_after_palette_and_dialog(
    engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str]
) -> None:
    named("ui-focus", "true")
    window = open_window(engine)
    page = window.containers
    page.wait_until_says("ui-focus", "Exited 0")
    page.press_on("ui-focus", Qt.Key.Key_Down)
    assert page.has_focus
    window.palette.type("x")
    window.palette.press(Qt.Key.Key_Escape)
    assert page.has_focus
    page.press(Qt.Key.Key_Delete)
    window.press("Keep it")
    assert page.has_focus
    window.go("images")
    window.key(Qt.Key.Key_Left, Qt.KeyboardModifier.AltModifier)
    assert window.page == "containers"
    assert page.has_focus


def test_shift_f10_opens_the_menu_of_the_row(
    engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str]
) -> None:
    named("ui-menu", "true")
    window = open_window(engine)
    page = window.containers
    page.wait_until_says("ui-menu", "Exited 0")
    page.press_on("ui-menu", Qt.Key.Key_F10, Qt.KeyboardModifier.ShiftModifier)
    page.choose("Copy name")
    assert window.clipboard == "ui-menu"


def test_a_message_about_a_problem_leaves_by_itself_and_takes_no_focus(
    engine: NativeEngine, open_window: OpenWindow, monkeypatch: pytest.MonkeyPatch, qtbot: QtBot
) -> None:
    monkeypatch.setattr(toasts, "PROBLEM_MS", 300)
    window = open_window(engine)
    window.go("images")
    window.images.press_button("Pull")
    window.answer("debian:trixie", "127.0.0.1:1/none:1", "Pull")
    window.wait_until_told("127.0.0.1:1/none:1 was not pulled")
    reason = window.dialog_texts()
    assert any("127.0.0.1:1" in text for text in reason), "the dialog tells the reason, too"
    window.press("Close")
    assert not window.is_focus_in_a_message
    qtbot.waitUntil(lambda: window.toasts() == [], timeout=LIMIT_MS)


def test_trying_again_is_not_offered_for_a_name_that_cannot_be(engine: NativeEngine, open_window: OpenWindow) -> None:
    window = open_window(engine)
    window.go("images")
    window.images.press_button("Pull")
    window.answer("debian:trixie", "Bad Name!!", "Pull")
    assert window.has_dialog, "the field is still there to be corrected"
    assert any("invalid reference" in words.lower() for words in window.dialog_words())
    assert window.toasts() == []
    window.press("Cancel")


def test_activity_shows_what_was_before_and_hides_health_checks(
    engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str], qtbot: QtBot
) -> None:
    check = ("--health-cmd", "true", "--health-interval", "100ms")
    named("ui-before", "sleep", "1000", flags=check)
    window = open_window(engine)
    window.containers.wait_until_says("ui-before", "running")
    window.go("activity")
    window.activity.wait_until_happened("ui-before started")
    window.activity.wait_until_happened("ui-before is healthy")
    engine.docker("exec", "ui-before", "echo", "mine")
    window.activity.wait_until_happened("ui-before: exec started: echo mine")
    of_it = [line for line in window.activity.lines() if line.startswith("ui-before: exec ")]
    assert "ui-before: exec created: echo mine" in of_it
    assert [line for line in of_it if "true" in line] == []


def test_a_container_deleted_elsewhere_is_told_where_it_was_shown(
    engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str]
) -> None:
    named("ui-gone", "true")
    window = open_window(engine)
    window.containers.wait_until_says("ui-gone", "Exited 0")
    window.go("images")
    window.go("containers")
    window.open_container("ui-gone", "overview")
    engine.docker("rm", "ui-gone")
    window.wait_until_told("ui-gone was deleted")
    assert window.page == "containers"


def test_menus_stay_inside_the_window(engine: NativeEngine, open_window: OpenWindow) -> None:
    window = open_window(engine)
    window.press_button("Messages")
    menu = QApplication.activePopupWidget()
    assert menu is not None
    right = menu.mapToGlobal(QPoint(menu.width(), 0)).x()
    assert right <= window.right_edge
    menu.close()


def test_a_secret_is_shown_nowhere_in_a_run(engine: NativeEngine, open_window: OpenWindow, tmp_path: Path) -> None:
    """Not in the dialog, not on the run's page, not in its command, not in the window's settings; the container has
    it."""
    variables = [("API_TOKEN", "s3cret"), ("COLOUR", "blue")]
    window = open_window(engine)
    window.fill_in(RunWish(image="busybox", name="ui-secret", command="true", environment=variables))
    assert any("-e API_TOKEN -e COLOUR=blue" in text for text in window.dialog_texts())
    assert [text for text in window.texts() if "s3cret" in text] == []
    window.press("Run")
    try:
        page = window.run_page
        page.wait_until_over()
        assert "API_TOKEN" in window.texts()
        assert [text for text in window.texts() if "s3cret" in text] == []
        page.copy_command()
        assert "-e API_TOKEN -e COLOUR=blue" in window.clipboard
        assert "s3cret" not in window.clipboard
        kept = QSettings(str(tmp_path / "window.ini"), QSettings.Format.IniFormat)
        assert [(key, kept.value(key)) for key in kept.allKeys() if "s3cret" in str(kept.value(key))] == []
        assert "blue" in str(kept.value("runs/recent"))
        assert "API_TOKEN=s3cret" in engine.docker("inspect", "ui-secret").stdout
    finally:
        engine.docker("rm", "-f", "ui-secret", check=False)


def test_the_heads_numbers_are_those_of_the_segments(
    engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str], qtbot: QtBot
) -> None:
    named("ui-plain", "sleep", "1000")
    named("ui-paused", "sleep", "1000")
    named(
        "ui-ill", "sleep", "1000", flags=("--health-cmd", "false", "--health-interval", "1s", "--health-retries", "1")
    )
    engine.docker("pause", "ui-paused")
    window = open_window(engine)
    page = window.containers
    page.wait_until_says("ui-ill", "Its health check fails")
    page.wait_until_says("ui-paused", "Paused")

    def counted() -> None:
        assert page.summary.partition(", using")[0] == "1 running, 1 paused, 1 problem"

    qtbot.waitUntil(counted, timeout=LIMIT_MS)  # it counts a little later than the rows are shown
    assert [page.count_of(name) for name in ("Running", "Paused", "Problems")] == [1, 1, 1]


def test_a_lost_engine_without_containers_is_told_once_with_a_way_to_the_reason(
    own_engine: NativeEngine, open_window: OpenWindow
) -> None:
    window = open_window(own_engine)
    assert own_engine.process is not None
    own_engine.process.terminate()
    window.wait_until_lost()
    own_engine.process.wait(HANG_S)
    assert window.banner == ""
    window.containers.press_button("Find out why")
    assert window.page == "troubleshoot"
    own_engine.start()
    window.wait_until_connected()


def test_a_native_engine_that_this_window_starts_is_starting_not_stopped(
    own_engine: NativeEngine,
    qapp: Application,
    qtbot: QtBot,
    theme: Theme,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert own_engine.process is not None
    own_engine.process.terminate()
    own_engine.process.wait(HANG_S)
    may_start = threading.Event()

    def start(_paths: HostPaths) -> None:
        assert may_start.wait(HANG_S)
        own_engine.start()

    monkeypatch.setattr("desktop.ui.feed.host_session.ensure_native", start)
    paths = host_paths({"COVE_HOME": str(tmp_path / "home")}, "linux")
    cove = cove_in(Context(NATIVE, Endpoint.parse(own_engine.host), "--context"), qapp, theme, paths, tmp_path)
    window = Window(cove, qtbot)
    phases = window.note_phases()
    cove.open()
    try:
        qtbot.waitUntil(lambda: EnginePhase.STARTING in phases, timeout=LIMIT_MS)
        assert any("starting" in text.lower() for text in window.texts())
        may_start.set()
        window.wait_until_connected()
        assert EnginePhase.STOPPED not in phases[phases.index(EnginePhase.STARTING) :]
    finally:
        may_start.set()
        cove.close()
        cove.window.deleteLater()
