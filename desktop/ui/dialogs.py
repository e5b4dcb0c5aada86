"""Questions, each naming its object; the safe answer is the default, the other one says its verb."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QCloseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QDialog, QFrame, QHBoxLayout, QVBoxLayout, QWidget

from desktop.ui.buttons import Button, CheckBox, Kind
from desktop.ui.cards import Field, Label
from desktop.ui.icons import Icons
from desktop.ui.theme import Theme
from desktop.ui.words import tr


class Scrim(QWidget):
    """Dims the window under a dialog."""

    def __init__(self, theme: Theme, window: QWidget) -> None:
        super().__init__(window)
        self._theme = theme
        self.setGeometry(window.rect())
        self.show()
        self.raise_()

    def paintEvent(self, _event: QPaintEvent) -> None:
        QPainter(self).fillRect(QRectF(self.rect()), self._theme.scrim())


class Dialog(QDialog):
    """A dialog over `window`, opened by `open()`, with its buttons below a rule; it dims the window while it is there."""

    def __init__(self, theme: Theme, icons: Icons, title: str, window: QWidget, width: int = 440) -> None:
        super().__init__(window)
        self.theme, self.icons = theme, icons
        self.setWindowTitle(title)
        self.setModal(True)
        self.setFixedWidth(width)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(0)
        self.body = QVBoxLayout()
        self.body.setContentsMargins(24, 22, 24, 24)
        self.body.setSpacing(8)
        outer.addLayout(self.body)
        foot = QFrame()
        foot.setObjectName("dialogfoot")
        self.foot = QHBoxLayout(foot)
        self.foot.setContentsMargins(24, 13, 20, 13)
        self.foot.setSpacing(8)
        outer.addWidget(foot)
        self._scrim: Scrim | None = Scrim(theme, window)
        self.finished.connect(self._on_finished)

    def add_buttons(self, safe: str, verb: str, kind: Kind, icon: str = "") -> tuple[Button, Button]:
        """The safe button and the one that does it, at the right; the safe one has the focus."""
        keep = Button(self.theme, self.icons, safe)
        act = Button(self.theme, self.icons, verb, icon, kind=kind)
        keep.clicked.connect(self.reject)
        self.foot.addWidget(keep)
        self.foot.addWidget(act)
        return keep, act

    def _on_finished(self) -> None:
        if self._scrim is not None:
            self._scrim.hide()
            self._scrim.deleteLater()
            self._scrim = None

    def closeEvent(self, event: QCloseEvent) -> None:
        self._on_finished()
        super().closeEvent(event)


class Question(Dialog):
    """`ask(sure)`: `sure(checked)` is called when the verb was chosen; `checkbox` offers the harsher choice."""

    def __init__(
        self,
        theme: Theme,
        icons: Icons,
        window: QWidget,
        *,
        title: str,
        facts: Sequence[str],
        verb: str,
        sure: Callable[[bool], None],
        safe: str = "",
        checkbox: str = "",
        kind: Kind = "dangerfill",
    ) -> None:
        super().__init__(theme, icons, title, window)
        heading = Label(theme, title, "heading")
        heading.setWordWrap(True)
        self.body.addWidget(heading)
        self.body.addSpacing(4)
        for fact in facts:
            line = Label(theme, fact, "body", "text2")
            line.setWordWrap(True)
            self.body.addWidget(line)
        self.checkbox: CheckBox | None = None
        if checkbox:
            self.body.addSpacing(2)
            self.checkbox = CheckBox(theme, checkbox)
            self.body.addWidget(self.checkbox)
        self.foot.addStretch(1)
        self.keep, self.act = self.add_buttons(safe or tr("Keep it"), verb, kind)
        self.act.clicked.connect(self._on_sure)
        self._sure = sure
        self.keep.setFocus()

    def _on_sure(self) -> None:
        checked = self.checkbox is not None and self.checkbox.isChecked()
        self.accept()
        self._sure(checked)


class OneField(Dialog):
    """Asks for one line of text: an image's name to pull."""

    def __init__(
        self, theme: Theme, icons: Icons, window: QWidget, *, title: str, fact: str, hint: str, verb: str, icon: str,
        sure: Callable[[str], None],
    ) -> None:  # fmt: skip
        super().__init__(theme, icons, title, window)
        self.body.addWidget(Label(theme, title, "heading"))
        self.body.addWidget(Label(theme, fact, "body", "text2"))
        self.body.addSpacing(6)
        self.field = Field(theme, icons, hint)
        self.body.addWidget(self.field)
        self.foot.addStretch(1)
        self.keep, self.act = self.add_buttons(tr("Cancel"), verb, "primary", icon)
        self.act.clicked.connect(self._on_sure)
        self.field.returnPressed.connect(self._on_sure)
        self._sure = sure
        self.field.setFocus()

    def _on_sure(self) -> None:
        if text := self.field.text().strip():
            self.accept()
            self._sure(text)
        else:
            self.field.setFocus()
