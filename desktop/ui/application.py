"""The Qt application, with notice of its end: windows that hide when they are closed must close when it quits."""

from __future__ import annotations

from PySide6.QtCore import QEvent, Signal
from PySide6.QtWidgets import QApplication


class Application(QApplication):
    """Signals: quitting() before the windows are closed, whoever asked: `quit()`, a signal's handler or the platform.

    Qt's quit closes all top-level windows first, and does nothing where one is still visible afterwards. A window that
    refuses to close ends that round early, so the widget of an X11 tray icon stays visible and the process goes on.
    """

    quitting = Signal()

    def event(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Quit:
            self.quitting.emit()
        return super().event(event)
