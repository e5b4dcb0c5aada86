"""The Builds page: the engine's history, followed while it runs; only what a dialog named is deleted."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from copy import copy
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from tests.support.engine import NativeEngine
from tests.support.limits import HANG_S
from tests.support.relay import relay
from tests.ui.conftest import OpenWindow
from tests.ui.hands import LIMIT_MS

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)
GOOD = "FROM busybox:latest AS base\nRUN echo one of base\nFROM base\nRUN echo two of last\n"
BAD = "FROM busybox:latest\nRUN true\nRUN echo last words && false\n"
UNENDED = "FROM busybox:latest\nRUN printf 'no end of line'\n"
LONG = "FROM busybox:latest\nRUN echo begun && sleep 1000\n"

Build = Callable[[str, str], None]


@pytest.fixture
def build(own_engine: NativeEngine, tmp_path: Path) -> Build:
    """Build a Dockerfile with `cove build`, as a tag."""

    def run(text: str, tag: str) -> None:
        folder = tmp_path / re.sub(r"\W", "-", tag)
        folder.mkdir()
        (folder / "Dockerfile").write_text(text)
        own_engine.cove("build", "-t", tag, str(folder), check=False)

    return run


@pytest.fixture
def building(build: Build) -> Iterator[Callable[[str, str], threading.Thread]]:
    """Build in a thread; all of them have ended after the test."""
    threads: list[threading.Thread] = []

    def run(text: str, tag: str) -> threading.Thread:
        threads.append(threading.Thread(target=build, args=(text, tag), name="build"))
        threads[-1].start()
        return threads[-1]

    yield run
    for thread in threads:
        thread.join(HANG_S)


def test_a_build_shows_its_steps_and_the_output_of_each(
    own_engine: NativeEngine, open_window: OpenWindow, build: Build
) -> None:
    window = open_window(own_engine)
    window.go("builds")
    page = window.builds
    assert "No builds yet" in window.texts()
    build(GOOD, "ui-built:1")
    page.wait_until_says("ui-built:1", "cached")
    page.wait_until_step("RUN echo one of base", "s")
    assert "stage base" in page.steps()
    page.open_step("RUN echo two of last")
    page.wait_until_logged("two of last")
    assert not any(line == "one of base" for line in page.logged())
    page.show_all_steps()
    page.wait_until_logged("one of base")
    build(GOOD, "ui-built:2")
    page.wait_until_says("ui-built:2", "All cached")
    page.choose("ui-built:2")
    page.wait_until_step("RUN echo one of base", "cached")


def test_output_without_an_end_of_line_is_shown_of_all_steps_and_of_one(
    own_engine: NativeEngine, open_window: OpenWindow, build: Build
) -> None:
    build(UNENDED, "ui-unended:1")
    window = open_window(own_engine)
    window.go("builds")
    page = window.builds
    page.choose("ui-unended:1")
    page.wait_until_logged("no end of line")
    page.open_step("RUN printf")
    page.wait_until_logged("no end of line")
    page.show_all_steps()
    page.wait_until_logged("no end of line")


def test_tab_goes_through_the_page_as_it_is_read(
    own_engine: NativeEngine, open_window: OpenWindow, build: Build
) -> None:
    build(BAD, "ui-bad:1")
    window = open_window(own_engine)
    window.go("builds")
    page = window.builds
    page.choose("ui-bad:1")
    page.wait_until_marked("RUN echo last words && false")
    before = ["All", "Filter by name", "Clean up the cache", "Builds", "Copy the id", "Delete", "Views of the build"]
    assert page.tab_stops() == [*before, "The Dockerfile"]
    for tab, view in (("Steps", "Steps of the build"), ("Log", "Log"), ("Overview", "What was built")):
        page.choose_tab(tab)
        assert page.tab_stops() == [*before, view]


def test_a_failed_build_shows_the_line_with_an_arrow(
    own_engine: NativeEngine, open_window: OpenWindow, build: Build
) -> None:
    build(BAD, "ui-bad:1")
    window = open_window(own_engine)
    window.go("builds")
    page = window.builds
    page.wait_until_says("ui-bad:1", "Failed")
    page.wait_until_marked("RUN echo last words && false")
    assert len(page.arrows()) == 1
    page.choose_tab("Steps")
    page.wait_until_step("RUN echo last words && false", "failed")
    page.choose_segment("Failed")
    assert page.names() == ["ui-bad:1"]


def test_a_running_build_is_live_and_is_cancelled(
    own_engine: NativeEngine, open_window: OpenWindow, building: Callable[[str, str], threading.Thread]
) -> None:
    window = open_window(own_engine)
    window.go("builds")
    page = window.builds
    thread = building(LONG, "ui-long:1")
    page.wait_until_says("ui-long:1", "Building")
    page.wait_until_step("RUN echo begun", "so far")
    page.choose_tab("Log")
    page.wait_until_logged("begun")
    page.press_button("Cancel")
    page.wait_until_says("ui-long:1", "Cancelled")
    thread.join(HANG_S)
    assert not thread.is_alive()


def test_a_running_build_is_followed_again_after_a_lost_contact(
    own_engine: NativeEngine,
    open_window: OpenWindow,
    building: Callable[[str, str], threading.Thread],
    qtbot: QtBot,
    tmp_path: Path,
) -> None:
    with relay(tmp_path / "r.sock", own_engine.socket) as between:
        behind = copy(own_engine)
        behind.host = f"unix://{between.path}"
        window = open_window(behind)
        window.go("builds")
        page = window.builds
        building(LONG, "ui-again:1")
        page.wait_until_step("RUN echo begun", "so far")
        page.open_step("RUN echo begun")
        page.wait_until_logged("begun")
        between.cut()
        window.wait_until_connected()
        page.press_button("Cancel")
        page.wait_until_step("RUN echo begun", "cancelled")
        qtbot.waitUntil(lambda: page.logged() == ["begun"], timeout=LIMIT_MS)


def test_only_the_named_build_is_deleted_from_the_history(
    own_engine: NativeEngine, open_window: OpenWindow, build: Build
) -> None:
    build(GOOD, "ui-kept:1")
    build(GOOD, "ui-gone:1")
    window = open_window(own_engine)
    window.go("builds")
    page = window.builds
    page.menu_on("ui-gone:1")
    page.choose_in_menu("Copy the name")
    assert window.clipboard == "ui-gone:1"
    page.choose("ui-gone:1")
    page.press(Qt.Key.Key_Delete)
    assert "Delete the build of ui-gone:1 from the history?" in window.dialog_words()
    window.press("Keep it")
    page.press(Qt.Key.Key_Delete)
    window.press("Delete")
    page.wait_until_gone("ui-gone:1")
    assert page.names() == ["ui-kept:1"]
    assert "ui-gone" in own_engine.docker("images").stdout


def test_the_cache_is_cleaned_up_by_what_was_ticked(
    own_engine: NativeEngine, open_window: OpenWindow, build: Build, qtbot: QtBot
) -> None:
    build(GOOD, "ui-cached:1")

    def cached() -> set[str]:
        with own_engine.client() as client:
            return {item["Description"] for item in client.disk_usage("build-cache")["BuildCache"]}

    before = cached()
    kept = next(text for text in before if "one of base" in text)
    window = open_window(own_engine)
    window.go("builds")
    window.builds.wait_until_shown("ui-cached:1")
    window.builds.press_button("Clean up the cache…")
    qtbot.waitUntil(lambda: window.has_dialog, timeout=LIMIT_MS)
    assert len(window.ticks()) == len(before)
    window.tick(next(text for text in window.ticks() if "one of base" in text))
    window.press_verb("Delete")
    window.wait_until_told("The build cache was cleaned up")
    assert cached() == {kept}
