"""What every page with a list does: several rows at once, the filter, Esc, the order of names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QImage
from pytestqt.qtbot import QtBot

from desktop.client.engine import ApiError
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.rows import Cell, Column, RowFilter, Rows, Segment
from desktop.ui.kit.table import Table
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.words import natural
from tests.support.engine import NativeEngine
from tests.ui.conftest import OpenWindow
from tests.ui.hands import CONTROL

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)


@pytest.fixture
def tagged(engine: NativeEngine) -> Iterator[Callable[[str], str]]:
    """Give busybox one more name; all of them are removed after the test."""
    made: list[str] = []

    def tag(name: str) -> str:
        made.append(name)
        engine.docker("tag", "busybox", name)
        return name

    yield tag
    with engine.client() as client:
        for name in made:
            with suppress(ApiError):
                client.image_remove(name)


def test_numbers_in_names_count_as_numbers() -> None:
    names = ["svc-10", "svc-1", "Svc-2", "svc", "10", "9"]
    assert sorted(names, key=natural) == ["9", "10", "svc", "svc-1", "Svc-2", "svc-10"]


@pytest.mark.parametrize(("width", "has_chip"), [(400, True), (120, False)])
def test_a_chip_gives_way_to_the_name_beside_it(
    theme: Theme, icons: Icons, width: int, has_chip: bool, qtbot: QtBot
) -> None:
    def picture(chip: str) -> QImage:
        columns: tuple[Column[str]] = (
            Column(title="Name", cell=lambda name: Cell(text=str(name), chip=chip, role="name", tone="text")),
        )
        rows = Rows(columns, str, str)
        rows.load(["a-tool-with-a-name"])
        table = Table(theme, icons, RowFilter(rows, (Segment("All", lambda _: True),)), columns, "Names", checks=False)
        qtbot.addWidget(table)
        table.resize(width, 120)
        table.show()
        qtbot.waitExposed(table)
        return table.viewport().grab().toImage()

    assert (picture("in use") != picture("")) is has_chip


def test_the_first_click_on_an_amount_puts_the_largest_on_top(
    engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str]
) -> None:
    busy = "dd if=/dev/zero of=/full/x bs=1M count=8; sleep 1000"
    named("ui-small", "sleep", "1000")
    named("ui-large", "sh", "-c", busy, flags=("--tmpfs", "/full", "--label", "com.docker.compose.project=ui-heavy"))
    window = open_window(engine)
    page = window.containers
    page.wait_until_measured("ui-small")
    page.wait_until_uses("ui-large", 8_000_000)
    page.sort_by("Memory")
    assert page.top_names()[0] == "ui-heavy", "a project counts with the sum of its containers"
    page.sort_by("Memory")
    assert page.top_names()[-1] == "ui-heavy"


def test_images_are_selected_and_deleted_as_the_filter_shows_them(
    engine: NativeEngine, open_window: OpenWindow, tagged: Callable[[str], str]
) -> None:
    seen = [tagged("ui-many:1"), tagged("ui-many:10"), tagged("ui-many:2")]
    hidden = tagged("ui-else:1")
    window = open_window(engine)
    window.go("images")
    page = window.images
    for name in (*seen, hidden):
        page.wait_until_shown(name)
    page.filter("ui-many")
    assert page.names() == ["ui-many:1", "ui-many:2", "ui-many:10"]
    page.choose("ui-many:2")
    page.press(Qt.Key.Key_A, CONTROL)
    assert page.bulk_text == "3 selected"
    page.press(Qt.Key.Key_Delete)
    assert "Delete 3 images?" in window.dialog_words()
    assert any(all(name in line for name in seen) for line in window.dialog_words())
    window.press("Delete 3 images")
    for name in seen:
        page.wait_until_gone(name)
    assert page.bulk_text == ""
    page.press(Qt.Key.Key_Escape)
    page.wait_until_shown(hidden)


def test_esc_clears_first_the_selection_then_the_filter(
    engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str]
) -> None:
    named("ui-esc", "true")
    window = open_window(engine)
    page = window.containers
    page.wait_until_says("ui-esc", "Exited 0")
    page.filter("ui-e")
    page.choose_segment("Stopped")
    page.press_on("ui-esc", Qt.Key.Key_Space)
    assert page.bulk_text == "1 selected"
    page.press(Qt.Key.Key_Escape)
    assert (page.bulk_text, page.filter_text, page.segment) == ("", "ui-e", "Stopped")
    page.press(Qt.Key.Key_Escape)
    assert (page.filter_text, page.segment) == ("", "All")


def test_the_bar_offers_what_fits_and_stays_under_the_pointer(
    engine: NativeEngine, open_window: OpenWindow, named: Callable[..., str]
) -> None:
    named("ui-fit", "sh", "-c", "trap exit TERM; while :; do sleep 0.05; done")
    window = open_window(engine)
    page = window.containers
    page.wait_until_says("ui-fit", "running")
    page.check("ui-fit")
    page.wait_until_bar_offers("Stop", "Restart", "Pause", "Delete")
    page.press_in_bar("Stop")
    assert page.bulk_text == "1 selected", "a second click must not meet the row below"
    page.wait_until_says("ui-fit", "Exited 0")
    page.wait_until_bar_offers("Start", "Delete")
    page.press_in_bar("Start")
    page.wait_until_says("ui-fit", "running")
    page.wait_until_bar_offers("Stop", "Restart", "Pause", "Delete")
    page.press_in_bar("Pause")
    page.wait_until_says("ui-fit", "Paused")
    assert engine.docker("inspect", "-f", "{{.State.Status}}", "ui-fit").stdout.strip() == "paused"
