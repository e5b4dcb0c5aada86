"""Long and fast logs: nothing that exists is "none", and what is left out is said."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot

from desktop.ui.containers.log_lines import MOST_PENDING, LogLine, LogReader, nanoseconds, note
from desktop.ui.containers.log_pages import PAGE
from desktop.ui.containers.log_view import LINE, MOST_LINES, LogView
from desktop.ui.kit.theme import Theme
from tests.support.engine import NativeEngine
from tests.ui.conftest import OpenWindow

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)

LINES = 60_000


def numbered(count: int) -> tuple[str, ...]:
    """The command that prints "line 1." to "line `count`."."""
    return "awk", f'BEGIN {{ for (n = 1; n <= {count}; n++) print "line " n "." }}'


def test_older_pages_come_by_scrolling_and_are_the_right_ones(
    engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str]
) -> None:
    named("ui-long", *numbered(3 * PAGE))
    engine.docker("wait", "ui-long")
    window = open_window(engine)
    window.containers.wait_until_says("ui-long", "Exited 0")
    page = window.open_container("ui-long", "logs")
    page.wait_until_logged(f"line {3 * PAGE}.")
    assert page.log()[0] == f"line {2 * PAGE + 1}."
    assert "scroll up for older ones" in page.foot
    page.press_in_log(Qt.Key.Key_Home)
    page.wait_until_logged(f"line {PAGE + 1}.")
    assert page.log() == [f"line {n}." for n in range(PAGE + 1, 3 * PAGE + 1)]
    page.press_in_log(Qt.Key.Key_Home)
    page.wait_until_logged("line 1.")
    assert page.log() == [f"line {n}." for n in range(1, 3 * PAGE + 1)]


def test_a_search_finds_what_is_not_loaded_and_goes_there(
    engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str]
) -> None:
    named("ui-deep", *numbered(LINES))
    engine.docker("wait", "ui-deep")
    window = open_window(engine)
    window.containers.wait_until_says("ui-deep", "Exited 0")
    page = window.open_container("ui-deep", "logs")
    page.wait_until_logged(f"line {LINES}.")
    page.go_to_older_hit("line 1234.")
    assert "line 1234." in page.log()
    assert page.is_in_sight("line 1234.")
    assert "Newer lines are not shown" in page.foot
    assert len(page.log()) <= MOST_LINES
    page.press_button("Follow")
    page.wait_until_logged(f"line {LINES}.")
    page.type_in_search("no such words")
    page.wait_until_counted("none")


def test_a_log_that_is_too_fast_is_skipped_and_the_rest_counted() -> None:
    """The reader drops what nobody has taken, oldest first, and its next lines begin with how many."""
    told: list[None] = []
    reader = LogReader(None, "c", tty=True, ready=lambda: told.append(None))  # type: ignore[arg-type]  # it reads nothing
    reader._put([(1, b"2026-01-01T00:00:00.000000001Z line %d" % n) for n in range(MOST_PENDING + 700)])
    lines = reader.take()
    assert [line.is_note for line in lines[:2]] == [True, False]
    assert lines[0].text.startswith("700 lines were skipped")
    assert (len(lines), lines[1].text, len(told)) == (MOST_PENDING + 1, "line 700", 1)
    assert reader.take() == []


def test_a_fast_writer_is_shown_up_to_now(
    engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str]
) -> None:
    named("ui-fast", "sh", "-c", "yes 'a line of a fast writer' | head -n 500000; echo the-end; sleep 1000")
    window = open_window(engine)
    window.containers.wait_until_says("ui-fast", "running")
    page = window.open_container("ui-fast", "logs")
    page.wait_until_logged("the-end")
    assert len(page.log()) <= MOST_LINES


def test_times_are_read_to_the_nanosecond() -> None:
    assert nanoseconds("2026-01-01T00:00:00.000000001Z") == 1_767_225_600_000_000_001
    assert nanoseconds("2026-01-01T00:00:00Z") == 1_767_225_600_000_000_000


def test_long_lines_wrap_on_request(engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str]) -> None:
    named("ui-wide", "awk", 'BEGIN { for (n = 0; n < 40; n++) { for (i = 0; i < 300; i++) printf "word "; print n } }')
    engine.docker("wait", "ui-wide")
    window = open_window(engine)
    window.containers.wait_until_says("ui-wide", "Exited 0")
    page = window.open_container("ui-wide", "logs")
    page.wait_until_logged("word 39")
    down, right = page.log_extent
    assert right > 0
    page.switch("Wrap")
    wrapped, right = page.log_extent
    assert right == 0
    assert wrapped > 3 * down
    page.type_in_search("word 39")
    page.wait_until_counted("1 of 1")
    window.resize(1000, 640)
    assert page.log_extent[0] > wrapped
    assert page.is_count_in_field
    page.switch("Wrap")
    assert page.log_extent[1] > 0


def test_the_foot_says_following_only_while_the_log_is_followed(
    engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str]
) -> None:
    named("ui-foot", "sh", "-c", "echo line; exec sleep 1000")
    window = open_window(engine)
    window.containers.wait_until_says("ui-foot", "running")
    page = window.open_container("ui-foot", "logs")
    page.wait_until_logged("line")
    page.wait_until_foot_says("Following")
    page.switch("Follow")
    assert "Following" not in page.foot
    page.switch("Follow")
    page.wait_until_foot_says("Following")


def test_stderr_is_marked_and_restarts_are_noted(
    engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str]
) -> None:
    named("ui-twice", "sh", "-c", "echo out; echo err >&2; exec sleep 1000", flags=("--stop-timeout", "0"))
    engine.docker("restart", "ui-twice")
    window = open_window(engine)
    window.containers.wait_until_says("ui-twice", "running")
    page = window.open_container("ui-twice", "logs")
    page.wait_until_logged("then started again")
    assert [line.split()[0] for line in page.log()] == ["out", "err", "ended", "out", "err"]
    assert page.is_marked("err")
    assert not page.is_marked("out")
    assert page.foot.startswith("4 lines")
    engine.docker("restart", "ui-twice")
    page.wait_until_foot_says("6 lines")
    page.wait_until_log_has(8)
    assert [line.split()[0] for line in page.log()][5:] == ["ended", "out", "err"]
    page.choose_stream("stderr")
    assert not page.is_marked("err")


def test_an_older_hit_is_shown_with_the_restarts_around_it(
    engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str]
) -> None:
    later = f"exec awk 'BEGIN {{ for (n = 1; n <= {2 * PAGE}; n++) print n }}'"
    named("ui-again", "sh", "-c", f"test -e /ran && {later}; touch /ran; echo needle")
    engine.docker("wait", "ui-again")
    engine.docker("start", "ui-again")
    engine.docker("wait", "ui-again")
    window = open_window(engine)
    window.containers.wait_until_says("ui-again", "Exited 0")
    page = window.open_container("ui-again", "logs")
    page.wait_until_logged(f"{2 * PAGE}")
    page.go_to_older_hit("needle")
    assert [line.split()[0] for line in page.log()[:3]] == ["needle", "ended", "1"]


def test_a_note_moves_neither_the_selection_nor_the_hit_nor_what_is_in_sight(theme: Theme, qtbot: QtBot) -> None:
    view = LogView(theme)
    qtbot.addWidget(view)
    view.set_times(False)
    view.resize(400, 10 * LINE)
    view.show()
    view.set_following(False)
    view.append(LogLine(0.0, 1, f"line {n}", at_ns=10 * n) for n in range(1, 41))
    view.verticalScrollBar().setValue(5 * LINE)
    view.search("line 1")  # line 10 is the current hit
    left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    QTest.mousePress(view.viewport(), left, none, QPoint(100, 2 * LINE + 10))
    QTest.mouseMove(view.viewport(), QPoint(100, 3 * LINE + 10))
    QTest.mouseRelease(view.viewport(), left, none, QPoint(100, 3 * LINE + 10))
    view.insert_notes([note("after line 1", 25), note("ended", 35)])
    assert view.shown_texts()[1:5] == ["line 2", "after line 1", "line 3", "ended"]
    assert view.verticalScrollBar().value() == 7 * LINE
    QTest.keyClick(view, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert QGuiApplication.clipboard().text() == "line 8\nline 9"
    found: list[tuple[int, int]] = []
    view.found.connect(lambda at, of: found.append((at, of)))
    view.next_hit(+1)
    assert found == [(4, 12)], "line 1, the note, line 10, line 11"
