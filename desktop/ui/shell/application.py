"""The Qt application with a signal before it quits: a window that hides when it is closed must really close then."""

from __future__ import annotations

from PySide6.QtCore import QEvent, Signal
from PySide6.QtWidgets import QApplication


class Application(QApplication):
    """An application that can be quit while a window only hides when it is closed.

    Emits the Qt signal quitting() before it closes any window, whoever asked to quit: `quit()`, SIGTERM or the session
    manager. A window that otherwise hides must let itself be closed from then on. Without that Qt cancels the quit: it
    closes all top-level windows first, stops at the first one that ignores its close event, and gives up if a window
    after it (on X11 the tray icon is one) is still visible.
    """

    quitting = Signal()

    def event(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Quit:
            self.quitting.emit()
        return super().event(event)
