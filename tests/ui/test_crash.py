"""An error in the window's own code is shown, once, and can be copied."""

from __future__ import annotations

import sys

import pytest
from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from tests.support.engine import NativeEngine
from tests.ui.conftest import OpenWindow
from tests.ui.hands import CONTROL, LIMIT_MS

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)


def test_an_error_of_the_window_is_shown_once_and_can_be_copied(
    engine: NativeEngine, open_window: OpenWindow, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = open_window(engine)
    written: list[str] = []
    monkeypatch.setattr(sys, "excepthook", lambda _kind, error, _where: written.append(str(error)))
    window.catch_crashes()

    def fail() -> None:
        raise LookupError("the cat is not in the box")

    for _ in range(2):
        QTimer.singleShot(0, fail)
    window.wait_until_asked()
    assert "Something in Cove's window failed" in window.dialog_words()
    window.press("Copy")
    assert "LookupError: the cat is not in the box" in window.clipboard
    assert "in fail" in window.clipboard
    window.press("Show troubleshooting")
    assert not window.has_dialog
    assert window.page == "troubleshoot"
    assert written == ["the cat is not in the box"] * 2


def test_an_error_beside_an_open_dialog_is_shown_once_that_is_closed(
    engine: NativeEngine, open_window: OpenWindow, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = open_window(engine)
    written: list[str] = []
    monkeypatch.setattr(sys, "excepthook", lambda _kind, error, _where: written.append(str(error)))
    window.catch_crashes()
    window.key(Qt.Key.Key_N, CONTROL)

    def fail() -> None:
        raise LookupError("the cat is not in the box")

    for _ in range(2):
        QTimer.singleShot(0, fail)
    qtbot.waitUntil(lambda: len(written) == 2, timeout=LIMIT_MS)
    QApplication.processEvents()
    assert "Run an image" in window.dialog_words()
    window.press("Cancel")
    assert window.has_dialog
    assert "Something in Cove's window failed" in window.dialog_words()
    window.press("Close")
    assert not window.has_dialog
