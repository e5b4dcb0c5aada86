"""Long and fast logs: nothing that exists is "none", and what is left out is said."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from PySide6.QtCore import Qt

from desktop.ui.containers.log_lines import MOST_PENDING, LogReader, nanoseconds
from desktop.ui.containers.log_pages import PAGE
from desktop.ui.containers.log_view import MOST_LINES
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
    page.type_in_search("line 1234.")
    page.wait_until_counted("1 older")
    page.press_button("Previous hit")
    page.wait_until_counted("1 of 1")
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
