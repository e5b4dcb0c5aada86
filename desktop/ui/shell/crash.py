"""An error in the window itself: shown with its traceback to copy, and still written to stderr."""

from __future__ import annotations

import sys
import traceback
from types import TracebackType

from PySide6.QtCore import QObject, Qt, Signal

from desktop.ui.kit.buttons import Button
from desktop.ui.kit.dialogs import Dialog, dialog_of
from desktop.ui.kit.fields import CodeWell
from desktop.ui.kit.labels import Label
from desktop.ui.kit.page import Desk, Place
from desktop.ui.kit.words import tr

MOST_LINES = 14


class CrashDialog(Dialog):
    """Shows `text`, the traceback."""

    def __init__(self, desk: Desk, text: str) -> None:
        title = tr("Something in Cove's window failed")
        super().__init__(desk.theme, desk.icons, title, desk.window, width=720)
        self.body.addWidget(Label(desk.theme, title, "heading"))
        said = tr("What you have just done may not have happened. Containers and the engine are not affected.")
        about = Label(desk.theme, said, "body", "text2")
        about.setWordWrap(True)
        self.body.addWidget(about)
        shown = text.splitlines()[-MOST_LINES:]
        well = CodeWell(desk.theme, desk.icons, name=tr("The error"))
        well.set_text("\n".join(shown), text)
        self.body.addWidget(well)
        self.foot.addStretch(1)
        self.keep, self.act = self.add_buttons(tr("Close"), tr("Show troubleshooting"), "soft", "first-aid-kit")
        self.act.clicked.connect(self.accept)
        self.act.clicked.connect(lambda: desk.go(Place("troubleshoot")))

    def first_focus(self) -> Button:
        return self.keep


class Crashes(QObject):
    """Takes the errors that nobody has caught, from `install` to `close`."""

    _failed = Signal(str)

    def __init__(self, desk: Desk, parent: QObject) -> None:
        super().__init__(parent)
        self._desk = desk
        self._before = sys.excepthook
        self._failed.connect(
            self._show, Qt.ConnectionType.QueuedConnection
        )  # an error may come in the middle of a paint

    def install(self) -> None:
        self._before, sys.excepthook = sys.excepthook, self._on_error

    def close(self) -> None:
        if sys.excepthook == self._on_error:
            sys.excepthook = self._before

    def _on_error(self, kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
        self._before(kind, error, where)
        self._failed.emit("".join(traceback.format_exception(kind, error, where)))

    def _show(self, text: str) -> None:
        """Show the error, once no other dialog is open; of several, the first."""
        before = dialog_of(self._desk.window)
        if before is None:
            CrashDialog(self._desk, text).open()
        elif not isinstance(before, CrashDialog):
            before.finished.connect(lambda: self._show(text))
