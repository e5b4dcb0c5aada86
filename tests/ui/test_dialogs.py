"""Dialogs and a hasty hand: what is pressed twice asks once, and the second press reaches nothing below."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QPlainTextEdit, QPushButton, QWidget
from pytestqt.qtbot import QtBot

from desktop.client.engine import PullProgress
from desktop.ui.kit.dialogs import Dialog, OneField, Question
from desktop.ui.kit.fields import CodeWell
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.words import shortened
from desktop.ui.run.layers import LayerModel
from desktop.ui.run.pipeline import LAYER_ROW, LayerList
from tests.support.engine import NativeEngine
from tests.ui.clipping import clipped
from tests.ui.conftest import OpenWindow
from tests.ui.hands import LIMIT_MS, Hands

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)


def test_the_second_press_on_a_verb_reaches_nothing_below(theme: Theme, icons: Icons, qtbot: QtBot) -> None:
    window = QWidget()
    qtbot.addWidget(window)
    window.resize(900, 600)
    below = QPushButton("below", window)
    below.resize(window.size())
    pressed: list[str] = []
    below.clicked.connect(lambda: pressed.append("below"))
    window.show()
    qtbot.waitExposed(window)
    hands = Hands(qtbot)
    question = Question(
        theme,
        icons,
        window,
        title="Delete it?",
        facts=[],
        verb="Delete it",
        sure=lambda _checked: pressed.append("sure"),
    )
    question.open()
    hands.double_click(question.act, question.act.rect().center())
    assert pressed == ["sure"]
    hands.click(below)
    assert pressed == ["sure", "below"]


LONG = "a-volume-whose-name-says-all-there-is-to-say-about-what-is-in-it-and-more"


@pytest.mark.parametrize("zoom", [-3, 0, 3])
@pytest.mark.parametrize("name", ["data", LONG])
def test_texts_of_dialogs_have_the_room_that_they_need(
    theme: Theme, icons: Icons, zoom: int, name: str, qtbot: QtBot
) -> None:
    theme.set_zoom(zoom)
    window = QWidget()
    qtbot.addWidget(window)
    window.resize(1000, 640)
    window.show()
    qtbot.waitExposed(window)

    def ignore(_answer: object) -> None:
        """Nothing is done."""

    asked: list[Dialog] = [
        Question(
            theme, icons, window, title=f"Import into {name}, which exists?", facts=["One.", f"{name} stays. " * 4],
            verb=f"Import into {shortened(name)} at once", sure=ignore, checkbox="With its anonymous volumes " * 2,
        ),
        OneField(
            theme, icons, window, title=f"Bring {name} back under another name", fact="What it has stays. " * 3,
            hint="Name", verb="Bring it back", icon="trash", sure=ignore,
        ),
    ]  # fmt: skip
    for dialog in asked:
        dialog.open()
        assert clipped(dialog) == []
        assert dialog.height() <= dialog.heightForWidth(dialog.width()), "no empty room either"
        assert dialog.width() <= window.width()
        dialog.reject()


def test_the_well_of_a_dialog_shows_all_lines_of_a_long_text(theme: Theme, icons: Icons, qtbot: QtBot) -> None:
    window = QWidget()
    qtbot.addWidget(window)
    window.resize(1000, 640)
    window.show()
    qtbot.waitExposed(window)
    dialog = Dialog(theme, icons, "It failed", window)
    well = CodeWell(theme, icons)
    dialog.body.addWidget(well)
    dialog.open()
    for words in ("one", "word " * 60, "one"):
        well.set_text(words)
        dialog.fit()
        text = well.findChild(QPlainTextEdit)
        assert text is not None
        assert text.verticalScrollBar().maximum() == 0
        assert dialog.height() == dialog.sizeHint().height(), "it shrinks, too"


@pytest.mark.parametrize("count", [1, 2, 40])
def test_the_layers_of_a_pull_stay_above_the_buttons_of_its_dialog(
    theme: Theme, icons: Icons, count: int, qtbot: QtBot
) -> None:
    window = QWidget()
    qtbot.addWidget(window)
    window.resize(960, 600)
    window.show()
    qtbot.waitExposed(window)
    model = LayerModel(window)
    dialog = Dialog(theme, icons, "Pull it", window, width=760)
    layers = LayerList(theme, icons, model)
    dialog.body.addWidget(layers)
    keep, _ = dialog.add_buttons("Hide", "Cancel", "plain")
    model.modelReset.connect(dialog.fit)
    dialog.open()
    for number in range(count):  # they become known one after the other
        model.take([PullProgress(f"{number:012x}", "Downloading", 1, 100, is_progress=True, size=100)])
    qtbot.waitUntil(lambda: model.rowCount() == count, timeout=LIMIT_MS)
    dialog.fit()
    foot = keep.parentWidget()
    assert foot is not None
    assert layers.geometry().bottom() < foot.geometry().top()
    assert dialog.geometry().bottom() <= window.height()
    assert layers.height() >= min(count, 3) * LAYER_ROW
    if count == 40:
        qtbot.waitUntil(lambda: layers.verticalScrollBar().maximum() > 0, timeout=LIMIT_MS)


@pytest.fixture
def project(engine: NativeEngine) -> Iterator[str]:
    """A Compose project of one service."""
    flags = ("--label", "com.docker.compose.project=ui-hasty", "--stop-signal", "KILL")
    engine.docker("run", "-d", "--name", "ui-hasty-web-1", *flags, "busybox", "sleep", "1000")
    yield "ui-hasty"
    engine.docker("rm", "-f", "ui-hasty-web-1", check=False)


def test_delete_pressed_twice_asks_once(
    engine: NativeEngine, open_window: OpenWindow, project: str, qtbot: QtBot
) -> None:
    window = open_window(engine)
    page = window.open_project(project, "1 of 1 running")
    for _ in range(2):  # the question needs an answer of the engine first
        page.press(Qt.Key.Key_Delete)
    window.wait_until_asked()
    qtbot.waitUntil(lambda: window.is_work_done, timeout=LIMIT_MS)
    window.press("Keep it")
    assert not window.has_dialog
    assert project in page.names()
