"""Takes pictures of one window in several looks, with what floats over it: menus, lists, dialogs for files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QEventLoop, QPoint, QRect, Qt, QTimer
from PySide6.QtGui import QPainter, QPixmap
from PySide6.QtWidgets import QApplication, QDialog, QMenu, QWidget

from desktop.paths import host_paths
from desktop.ui.kit.dialogs import Dialog
from desktop.ui.kit.page import Place
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.tokens import Scheme
from desktop.ui.shell.application import Application
from tests.support.engine import NativeEngine
from tests.ui.clipping import clipped
from tests.ui.opening import cove_on

LOOKS: list[tuple[str, Scheme, int, tuple[int, int]]] = [
    ("light", "light", 0, (1280, 800)),
    ("dark", "dark", 0, (1280, 800)),
    ("small", "light", 0, (1000, 640)),
    ("large", "dark", 3, (1280, 800)),
]
SETTLE_MS, CONTENT_MS, STEP_MS, LIMIT_MS = 500, 2500, 50, 60_000
OUTSIDE = Qt.GlobalColor.magenta  # where something floats beyond the window's edge


class Camera:
    """The window on `engine`, and `folder`, which gets its pictures."""

    def __init__(self, app: Application, engine: NativeEngine, folder: Path, home: Path) -> None:
        self.engine, self._folder = engine, folder
        self.theme = Theme("light")
        self.theme.apply(app)
        self.cove = cove_on(engine.host, app, self.theme, host_paths({"COVE_HOME": str(home)}, "linux"), home)
        self.window = self.cove.window
        self._word = ""
        self.cove.open()
        self.rest(CONTENT_MS)

    def close(self) -> None:
        self.cove.close()
        self.window.deleteLater()

    def rest(self, milliseconds: int = SETTLE_MS) -> None:
        loop = QEventLoop()
        QTimer.singleShot(milliseconds, loop.quit)
        loop.exec()

    def until(self, is_so: Callable[[], bool]) -> None:
        """Wait until it is so. Raises AssertionError after a minute."""
        for _ in range(LIMIT_MS // STEP_MS):
            if is_so():
                return
            self.rest(STEP_MS)
        raise AssertionError(f"never came: {is_so}")

    def each_look(self, show: Callable[[], None], words: tuple[str, ...] = ()) -> None:
        """Call `show()` in each of the looks of these names, without names in all."""
        for word, scheme, zoom, (width, height) in LOOKS:
            if not words or word in words:
                self._word = word
                self.theme.set_scheme(scheme)
                self.theme.set_zoom(zoom)
                self.window.resize(width, height)
                self.rest()
                show()
                self.clear()

    def go(self, page: str, thing: str = "", tab: str = "") -> QWidget:
        """Go there; returns the page."""
        self.window.go(Place(page, thing, tab))
        return self.window.page(page)

    def clear(self) -> None:
        """Close every dialog, menu and message."""
        while (popup := QApplication.activePopupWidget()) is not None:
            popup.close()
        floating = [*self.window.findChildren(QDialog), *(w for w in QApplication.topLevelWidgets() if _floats(w))]
        for dialog in (d for d in floating if d.isVisible()):
            dialog.reject() if isinstance(dialog, QDialog) else dialog.close()
        toasts = self.window.toasts
        for toast in list(toasts._shown):
            toasts._close(toast)
        self.cove.palette.hide()

    def dialogs(self) -> list[Dialog]:
        return [d for d in self.window.findChildren(Dialog) if d.isVisible()]

    def take(self, name: str) -> None:
        """Picture the window as it is, and whatever floats over it, also beyond its edges. Texts that are cut off are
        printed."""
        self.rest()
        window = self.window
        origin = window.mapToGlobal(QPoint(0, 0))
        floating = [w for w in QApplication.topLevelWidgets() if w.isVisible() and _floats(w) and w is not window]
        boxes = [QRect(w.mapToGlobal(QPoint(0, 0)) - origin, w.size()) for w in floating]
        whole = window.rect()
        for box in boxes:
            whole = whole.united(box)
        picture = QPixmap(whole.size())
        picture.fill(OUTSIDE)
        painter = QPainter(picture)
        painter.drawPixmap(-whole.topLeft(), window.grab())
        for widget, box in zip(floating, boxes, strict=True):
            painter.drawPixmap(box.topLeft() - whole.topLeft(), widget.grab())
        painter.end()
        picture.save(str(self._folder / f"{self._word}-{name}.png"))
        for words in clipped(window):
            print(f"{self._word}-{name}: {words}", flush=True)


def _floats(widget: QWidget) -> bool:
    kinds = (Qt.WindowType.Popup, Qt.WindowType.Dialog, Qt.WindowType.Tool)
    return isinstance(widget, QMenu | QDialog) or widget.windowType() in kinds
