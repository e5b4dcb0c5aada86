"""Dialogs: each question names its object, the safe answer is the default, the other button is a verb."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import QEvent, QObject, QRectF, Qt
from PySide6.QtGui import QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QApplication, QDialog, QFrame, QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from desktop.ui.kit.buttons import Button, CheckBox, Kind
from desktop.ui.kit.fields import Field
from desktop.ui.kit.focus import give_back
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.labels import ElidedLabel, Label
from desktop.ui.kit.presses import SecondPress
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.words import sentence, tr

SIDE = 24  # beside the content of a dialog, and beside a dialog that is as wide as the window


class Scrim(QWidget):
    """Covers and dims the window under a dialog, blocks clicks, and holds the dialog with its shadow."""

    def __init__(self, theme: Theme, window: QWidget) -> None:
        super().__init__(window)
        self._theme = theme
        self.dialog: QDialog | None = None
        self.setGeometry(window.rect())
        window.installEventFilter(self)

    def place(self) -> None:
        """Place the dialog slightly above the middle."""
        if self.dialog is not None:
            self.dialog.resize(self.dialog.width(), min(self.dialog.height(), self.height() - 48))
            x = (self.width() - self.dialog.width()) // 2
            self.dialog.move(x, max(24, (self.height() - self.dialog.height()) * 2 // 5))

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Resize and isinstance(watched, QWidget):
            self.resize(watched.size())
            self.place()
        return super().eventFilter(watched, event)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        event.accept()

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(self.rect(), self._theme.scrim())
        if self.dialog is not None:
            box = self.dialog.geometry()
            self._theme.draw_shadow(painter, box)
            painter.setPen(QPen(self._theme.colour("line2" if self._theme.scheme == "dark" else "line"), 1))
            painter.setBrush(self._theme.brush("raised"))
            painter.drawRoundedRect(QRectF(box).adjusted(0.5, 0.5, -0.5, -0.5), 13, 13)


def dialog_of(window: QWidget) -> QDialog | None:
    """The dialog that is open in `window`."""
    return next((scrim.dialog for scrim in window.findChildren(Scrim) if scrim.isVisible()), None)


class Dialog(QDialog):
    """A dialog inside `window`, opened by `open()`, with its buttons below a rule; it dims the window meanwhile.

    It is a child widget, not a top-level window: it looks the same on every desktop, can't get behind
    the window, and needs no compositor for its corners. Focus stays inside it; Esc is its safe answer.
    """

    def __init__(self, theme: Theme, icons: Icons, title: str, window: QWidget, width: int = 440) -> None:
        self._scrim = Scrim(theme, window)
        super().__init__(self._scrim)
        self._scrim.dialog = self
        self.setWindowFlags(Qt.WindowType.Widget)
        self.setObjectName("inside")  # the scrim paints its background
        self.setAutoFillBackground(False)
        self.theme, self.icons = theme, icons
        self.setWindowTitle(title)
        self.setAccessibleName(title)
        self._least = width
        self.setFixedWidth(width)
        self._window, self._before = window, window.focusWidget()
        outer = QVBoxLayout(self)
        outer.setContentsMargins(1, 1, 1, 1)
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
        self.finished.connect(self._on_finished)

    def open(self) -> None:
        """Show it. Where another one is open it goes at once: two presses may have asked for it."""
        if dialog_of(self._window) not in (None, self):
            self.reject()
            return
        self.fit()
        self._scrim.show()
        self._scrim.raise_()
        self.show()
        self.fit()  # what has wrapped its text in its own width may be of another height now
        if not self.isAncestorOf(QApplication.focusWidget() or self._scrim):
            first = self.first_focus()
            (first or self).setFocus(Qt.FocusReason.PopupFocusReason)

    def fit(self) -> None:
        """Take the height that the content needs in the dialog's width now, which grows with long buttons and boxes;
        what does not fit the window scrolls."""
        layout = self.layout()
        if layout is None:
            return
        whole = [box for box in self.findChildren(CheckBox) if not box.isHidden() and not box.minimumWidth()]
        boxes = [box.sizeHint().width() + 2 * SIDE + 2 for box in whole]
        needed = max((self._least, self.foot.sizeHint().width() + 2, *boxes))
        self.setFixedWidth(min(needed, max(self._least, self._window.width() - 2 * SIDE)))
        layout.activate()
        # `adjustSize` takes the height for the width that the texts would like.
        height = layout.totalHeightForWidth(self.width())
        self.resize(self.width(), height if height > 0 else layout.totalSizeHint().height())
        self._scrim.place()
        self._scrim.update()

    def first_focus(self) -> QWidget | None:
        """The widget that has the focus when the dialog opens; None: the dialog itself."""
        return None

    def focusNextPrevChild(self, forward: bool) -> bool:
        """Keep Tab inside the dialog."""
        step: QWidget | None = QApplication.focusWidget() or self
        for _ in range(500):
            step = step and (step.nextInFocusChain() if forward else step.previousInFocusChain())
            if step is None:
                return False
            takes = step.focusPolicy() & Qt.FocusPolicy.TabFocus == Qt.FocusPolicy.TabFocus
            if takes and self.isAncestorOf(step) and step.isVisible() and step.isEnabled():
                step.setFocus(Qt.FocusReason.TabFocusReason if forward else Qt.FocusReason.BacktabFocusReason)
                return True
        return False

    def add_head(self, title: str, note: str) -> None:
        """Add the title with a note beside it, and a button that closes the dialog, at the right."""
        head = QHBoxLayout()
        head.setSpacing(12)
        head.addWidget(ElidedLabel(self.theme, title, "heading"))
        head.addWidget(Label(self.theme, note, "body", "text2"))
        head.addStretch(1)
        close = Button(self.theme, self.icons, icon="x", kind="ghost", name=tr("Close"))
        close.clicked.connect(self.reject)
        head.addWidget(close)
        self.body.addLayout(head)

    def add_buttons(self, safe: str, verb: str, kind: Kind, icon: str = "") -> tuple[Button, Button]:
        """Add the safe button, which has the focus, and the one that acts, at the right. Returns both."""
        keep = Button(self.theme, self.icons, safe)
        act = Button(self.theme, self.icons, verb, icon, kind=kind)
        keep.clicked.connect(self.reject)
        self.foot.addWidget(keep)
        self.foot.addWidget(act)
        return keep, act

    def _on_finished(self) -> None:
        if (app := QApplication.instance()) is not None:
            SecondPress(app)
        self._scrim.hide()
        self._scrim.deleteLater()
        give_back(self._before)


MOST_LINES = 6  # of names that are seen at once


class Names(QScrollArea):
    """All of `names`, in lines; what does not fit scrolls. `width` in pixels; `between` two of them."""

    def __init__(self, theme: Theme, names: Sequence[str], width: int, between: str = ", ") -> None:
        super().__init__()
        self._width, self._between = width, between
        self.names = Label(theme, "", "body", "text2")
        self.names.setObjectName("scrolled")
        self.names.setWordWrap(True)
        self.names.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setWidget(self.names)
        self.tell(names)

    def tell(self, names: Sequence[str]) -> None:
        """Show other names."""
        self.names.setText(self._between.join(names))
        most = MOST_LINES * self.names.fontMetrics().lineSpacing()
        needed = self.names.heightForWidth(self._width)
        # the arrow keys scroll it
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus if needed > most else Qt.FocusPolicy.NoFocus)
        self.setAccessibleName(self.names.text() if needed > most else "")
        self.setFixedHeight(min(needed, most) + 4)


class Question(Dialog):
    """`ask(sure)` calls `sure(checked)` if the user confirms; `checkbox` is the text of a stronger option. `names` are
    those of all that it is about, if these are several, with `between` two of them: none is left out."""

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
        names: Sequence[str] = (),
        between: str = ", ",
    ) -> None:
        super().__init__(theme, icons, title, window)
        heading = Label(theme, title, "heading")
        heading.setWordWrap(True)
        self.body.addWidget(heading)
        self.body.addSpacing(4)
        if names:
            self.names = Names(theme, names, self.width() - 50, between)
            self.body.addWidget(self.names)
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

    def first_focus(self) -> QWidget:
        return self.keep

    def _on_sure(self) -> None:
        checked = self.checkbox is not None and self.checkbox.isChecked()
        self.accept()
        self._sure(checked)


class OneField(Dialog):
    """Asks for one line of text, such as the name of an image to pull. `wrong(text)` says why a text is refused."""

    def __init__(
        self, theme: Theme, icons: Icons, window: QWidget, *, title: str, fact: str, hint: str, verb: str, icon: str,
        sure: Callable[[str], None], wrong: Callable[[str], str] = lambda _text: "", text: str = "",
    ) -> None:  # fmt: skip
        super().__init__(theme, icons, title, window)
        heading = Label(theme, title, "heading")
        heading.setWordWrap(True)
        self.body.addWidget(heading)
        about = Label(theme, fact, "body", "text2")
        about.setWordWrap(True)
        self.body.addWidget(about)
        self.body.addSpacing(6)
        self.field = Field(theme, icons, hint)
        self.field.setText(text)
        self.body.addWidget(self.field)
        self.problem = Label(theme, "", "small", "bad")
        self.problem.setWordWrap(True)
        self.problem.hide()
        self.body.addWidget(self.problem)
        self.foot.addStretch(1)
        self.keep, self.act = self.add_buttons(tr("Cancel"), verb, "primary", icon)
        self.act.clicked.connect(self._on_sure)
        self.field.returnPressed.connect(self._on_sure)
        self.field.textChanged.connect(lambda: self._refuse(""))
        self._sure, self._wrong = sure, wrong

    def first_focus(self) -> QWidget:
        self.field.selectAll()
        return self.field

    def _refuse(self, why: str) -> None:
        self.problem.setText(why)
        if self.problem.isVisible() != bool(why):
            self.problem.setVisible(bool(why))
            self.fit()

    def _on_sure(self) -> None:
        text = self.field.text().strip()
        why = self._wrong(text) if text else ""
        if text and not why:
            self.accept()
            self._sure(text)
            return
        self._refuse(sentence(why))
        self.field.setFocus()
