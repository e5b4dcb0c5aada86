"""Popups and dialogs can be read in both themes, and Enter in a list of completions only accepts one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import cast

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QComboBox, QFileDialog, QWidget
from pytestqt.qtbot import QtBot

from desktop.ui.kit.theme import Theme
from desktop.ui.kit.tokens import SCHEMES, Scheme, contrast
from tests.support.engine import NativeEngine
from tests.ui.conftest import OpenWindow
from tests.ui.finding import field
from tests.ui.hands import LIMIT_MS

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)
READABLE = 4.5


def colours(widget: QWidget) -> Counter[str]:
    """How often each colour occurs in the widget's picture; a transparent point counts as what it is without a
    compositor: black, whatever the theme is."""
    image = widget.grab().toImage()
    found: Counter[str] = Counter()
    for y in range(0, image.height(), 2):
        for x in range(image.width()):
            colour = image.pixelColor(x, y)
            found[colour.name().upper() if colour.alpha() == 255 else "transparent"] += 1
    return found


def assert_readable(widget: QWidget, scheme: Scheme) -> None:
    """The picture's ground is one of the theme's, and there is something on it with the contrast of text."""
    found = colours(widget)
    ground = found.most_common(1)[0][0]
    grounds = {SCHEMES[scheme][token].upper() for token in ("canvas", "surface", "raised", "sunken")}
    assert ground in grounds, f"the ground is {ground}, of {found.most_common(4)}"
    best = max(contrast(ground, other) for other in found if other != "transparent")
    assert best >= READABLE, f"nothing on {ground} can be read: {best:.1f}"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_popups_and_dialogs_can_be_read(
    engine: NativeEngine,
    open_window: OpenWindow,
    named: Callable[..., str],
    theme: Theme,
    scheme: str,
    qtbot: QtBot,
) -> None:
    which = cast(Scheme, scheme)
    theme.set_scheme(which)
    named("ui-log", "echo", "hello")
    window = open_window(engine)
    window.containers.wait_until_says("ui-log", "Exited 0")
    window.containers.menu_on("ui-log")
    menu = QApplication.activePopupWidget()
    assert menu is not None
    assert_readable(menu, which)
    menu.close()

    window.press_button("Run…")
    image = field(window.dialog(), "Image")
    qtbot.waitUntil(image.hasFocus, timeout=LIMIT_MS)
    QTest.keyClicks(image, "b")
    completer = image.completer()
    assert completer is not None
    popup = completer.popup()
    assert popup is not None
    qtbot.waitUntil(popup.isVisible, timeout=LIMIT_MS)
    assert_readable(popup, which)
    QTest.keyClick(popup, Qt.Key.Key_Escape)
    combo = next(c for c in window.dialog().findChildren(QComboBox) if c.isVisible())
    combo.showPopup()
    qtbot.waitUntil(combo.view().isVisible, timeout=LIMIT_MS)
    assert_readable(combo.view(), which)
    combo.hidePopup()
    window.press("Cancel")

    window.open_container("ui-log", "logs").export()
    dialog = next(w for w in QApplication.topLevelWidgets() + window.children(QFileDialog) if _is_open(w))
    assert_readable(dialog, which)
    dialog.close()


def _is_open(widget: QWidget) -> bool:
    return isinstance(widget, QFileDialog) and widget.isVisible()


def test_enter_on_a_completion_accepts_it_and_runs_nothing(
    engine: NativeEngine, open_window: OpenWindow, qtbot: QtBot
) -> None:
    window = open_window(engine)
    window.go("images")
    window.images.wait_until_shown("busybox:latest")
    window.press_button("Run…")
    image = field(window.dialog(), "Image")
    qtbot.waitUntil(image.hasFocus, timeout=LIMIT_MS)
    QTest.keyClicks(image, "busy")
    completer = image.completer()
    assert completer is not None
    popup = completer.popup()
    assert popup is not None
    qtbot.waitUntil(popup.isVisible, timeout=LIMIT_MS)
    QTest.keyClick(popup, Qt.Key.Key_Down)
    chosen = popup.currentIndex().data()  # the first image of the engine, which tests of other modules use too
    assert "busybox" in chosen
    QTest.keyClick(popup, Qt.Key.Key_Return)
    assert image.text() == chosen
    assert window.has_dialog
    assert window.run_count == 0
    window.key(Qt.Key.Key_Escape)
