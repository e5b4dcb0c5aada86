"""The Qt application with a signal before it quits: a window that hides when it is closed must really close then."""

from __future__ import annotations

from PySide6.QtCore import QEvent, Signal
from PySide6.QtWidgets import QApplication


class Application(QApplication):
    """Signals: quitting() before the windows are closed; by `quit()`, a signal handler or the platform.

    Qt closes all top-level windows before it quits, and cancels the quit if one is still visible. A window that
    refuses to close stops this loop, so the widget of an X11 tray icon stays visible and the process does not end.
    """

    quitting = Signal()

    def event(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Quit:
            self.quitting.emit()
        return super().event(event)
