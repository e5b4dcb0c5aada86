"""Short messages at the bottom right, at most three at once; the bell lists earlier ones."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from PySide6.QtCore import QEvent, QObject, QPoint, QRect, QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QAccessible, QAccessibleAnnouncementEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QBoxLayout, QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget

from desktop.ui.kit.bulk import BAR_MOVED, BulkBar
from desktop.ui.kit.buttons import Button
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.labels import IconLabel, Label
from desktop.ui.kit.states import State
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.words import tr

SHOWN_MS = 6_000
PROBLEM_MS = 20_000  # a problem stays longer, and is under the bell afterwards
MOST = 3
WIDTH = 288
SHADOW = 28
LONGEST_WORD = 20
BUTTONS_WIDTH = WIDTH - 14 - 20 - 12 - 12 - 28 - 10  # between icon and close button


@dataclass(frozen=True, slots=True)
class Message:
    """A message: a title that names the object, one sentence, and up to two actions."""

    title: str
    fact: str = ""
    state: State = State.DONE
    actions: tuple[tuple[str, Callable[[], None]], ...] = ()
    at_s: float = field(default_factory=time.time)


def breakable(text: str) -> str:
    """`text` with places in its long words where a line may end: a label breaks none by itself."""
    return re.sub(rf"\S{{{LONGEST_WORD}}}(?=\S)", lambda part: part[0] + "\N{ZERO WIDTH SPACE}", text)


class Toast(QWidget):
    closed = Signal()

    def __init__(self, theme: Theme, icons: Icons, message: Message, parent: QWidget) -> None:
        super().__init__(parent)
        self._theme = theme
        self.message = message
        self.setAccessibleName(f"{message.title}. {message.fact}")
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self._row = row = QHBoxLayout(self)
        row.setContentsMargins(SHADOW + 14, SHADOW - 10 + 13, SHADOW + 10, SHADOW + 10 + 12)
        row.setSpacing(12)
        icon, token = {
            State.PROBLEM: ("warning", "bad"),
            State.UNKNOWN: ("warning", "pause"),
            State.DONE: ("check-circle", "run"),
        }.get(message.state, ("info", "accent"))
        row.addWidget(IconLabel(theme, icons, icon, token, 20), 0, Qt.AlignmentFlag.AlignTop)
        column = QVBoxLayout()
        column.setSpacing(2)
        title = Label(theme, breakable(message.title), "section")
        title.setWordWrap(True)
        column.addWidget(title)
        if message.fact:
            fact = Label(theme, breakable(message.fact), "small", "text2")
            fact.setWordWrap(True)
            column.addWidget(fact)
        if message.actions:
            buttons = [Button(theme, icons, text, height=28) for text, _ in message.actions[:2]]
            needed = sum(button.sizeHint().width() for button in buttons) + 8 * (len(buttons) - 1)
            beside, below = QBoxLayout.Direction.LeftToRight, QBoxLayout.Direction.TopToBottom
            line = QBoxLayout(beside if needed <= BUTTONS_WIDTH else below)
            line.setSpacing(8)
            line.setContentsMargins(0, 6, 0, 0)
            for button, (_, call) in zip(buttons, message.actions, strict=False):
                button.clicked.connect(call)
                button.clicked.connect(self.closed)
                line.addWidget(button)
            if needed <= BUTTONS_WIDTH:
                line.addStretch(1)
            column.addLayout(line)
        row.addLayout(column, 1)
        close = Button(theme, icons, icon="x", kind="ghost", name=tr("Close"), height=28)
        close.clicked.connect(self.closed)
        row.addWidget(close, 0, Qt.AlignmentFlag.AlignTop)
        self.setFixedWidth(WIDTH + 2 * SHADOW)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(PROBLEM_MS if message.state is State.PROBLEM else SHOWN_MS)
        self._timer.timeout.connect(self._on_time)
        self._timer.start()

    def sizeHint(self) -> QSize:
        width = WIDTH + 2 * SHADOW
        return QSize(width, max(super().sizeHint().height(), self._row.heightForWidth(width)))

    def event(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Enter:
            self._timer.stop()
        elif event.type() == QEvent.Type.Leave:
            self._timer.start()
        return super().event(event)

    def _on_time(self) -> None:
        """Go, unless the keyboard is in it."""
        focused = self.window().focusWidget()
        if focused is not None and self.isAncestorOf(focused):
            self._timer.start()
        else:
            self.closed.emit()

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        box = self.rect().adjusted(SHADOW, SHADOW - 10, -SHADOW, -SHADOW - 10)
        self._theme.draw_shadow(painter, box)
        painter.setPen(QPen(self._theme.colour("line2" if self._theme.scheme == "dark" else "line"), 1))
        painter.setBrush(self._theme.brush("raised"))
        painter.drawRoundedRect(QRectF(box).adjusted(0.5, 0.5, -0.5, -0.5), 10, 10)


class Toasts(QObject):
    """Shows messages over `host`'s lower right corner, above `foot` pixels, and keeps all of them."""

    kept = Signal(object)

    def __init__(self, theme: Theme, icons: Icons, host: QWidget, foot: int = 28) -> None:
        super().__init__(host)
        self._theme, self._icons, self._host, self._foot = theme, icons, host, foot
        self._shown: list[Toast] = []
        self.messages: list[Message] = []
        host.installEventFilter(self)

    def tell(
        self,
        title: str,
        fact: str = "",
        state: State = State.DONE,
        actions: Sequence[tuple[str, Callable[[], None]]] = (),
    ) -> None:
        """Show a message made of these."""
        self.show(Message(title, fact, state, tuple(actions)))

    def withdraw(self, message: Message) -> None:
        """Hide a message that is out of date, and offer its actions no more."""
        for toast in [toast for toast in self._shown if toast.message is message]:
            self._close(toast)
        self.messages = [replace(each, actions=()) if each is message else each for each in self.messages]

    def show(self, message: Message) -> None:
        self.messages = [*self.messages[-99:], message]
        toast = Toast(self._theme, self._icons, message, self._host)
        toast.closed.connect(lambda: self._close(toast))
        self._shown.append(toast)
        while len(self._shown) > MOST:
            self._close(self._shown[0])
        toast.adjustSize()
        toast.show()
        self._place()
        QAccessible.updateAccessibility(QAccessibleAnnouncementEvent(toast, toast.accessibleName()))
        self.kept.emit(message)

    def shown(self) -> list[Message]:
        return [toast.message for toast in self._shown]

    def _close(self, toast: Toast) -> None:
        if toast in self._shown:
            self._shown.remove(toast)
            toast.hide()
            toast.deleteLater()
            self._place()

    def _place(self) -> None:
        """From the lower right corner up; above a bar that would be covered."""
        edge = self._host.height() - self._foot
        for bar in self._host.findChildren(BulkBar):
            box = bar.box.translated(bar.mapTo(self._host, QPoint(0, 0)))
            if bar.isVisible() and box.right() > self._host.width() - 24 - WIDTH - 12:
                edge = min(edge, box.top())
        bottom = edge - 12 + SHADOW + 10
        for toast in reversed(self._shown):
            size = toast.sizeHint()
            toast.setGeometry(
                QRect(
                    self._host.width() - size.width() - 24 + SHADOW, bottom - size.height(), size.width(), size.height()
                )
            )
            toast.raise_()
            bottom -= size.height() - 2 * SHADOW + 12

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() in (QEvent.Type.Resize, BAR_MOVED):
            self._place()
        return super().eventFilter(watched, event)
