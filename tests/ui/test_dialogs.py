"""Dialogs and a hasty hand: what is pressed twice asks once, and the second press reaches nothing below."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QPushButton, QWidget
from pytestqt.qtbot import QtBot

from desktop.ui.kit.dialogs import Question
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.theme import Theme
from tests.support.engine import NativeEngine
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
