"""The second press of a double click whose first one has closed a dialog."""

from __future__ import annotations

from PySide6.QtCore import QCoreApplication, QEvent, QObject, QTimer
from PySide6.QtWidgets import QApplication, QWidget


class SecondPress(QObject):
    """Keeps it from what lies below the dialog, for nobody has aimed at that. Another press is let pass and ends the
    watch, as does the time within which two presses are a double click."""

    def __init__(self, app: QCoreApplication) -> None:
        super().__init__(app)  # it outlives the dialog
        self._app: QCoreApplication | None = app
        app.installEventFilter(self)
        QTimer.singleShot(QApplication.doubleClickInterval(), self, self.end)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.MouseButtonDblClick:
            return isinstance(watched, QWidget)
        if event.type() == QEvent.Type.MouseButtonPress and isinstance(watched, QWidget):
            self.end()
        return False

    def end(self) -> None:
        """Let every press pass again."""
        if self._app is not None:
            self._app.removeEventFilter(self)
            self._app = None
            self.deleteLater()
