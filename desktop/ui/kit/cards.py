"""Basic widgets of pages: labels, cards, chips, bars, key caps, code wells, empty pages, banners."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PySide6.QtCore import QPointF, QRect, QRectF, QSize, Qt
from PySide6.QtGui import (
    QFontMetrics,
    QFontMetricsF,
    QGuiApplication,
    QKeyEvent,
    QPainter,
    QPainterPath,
    QPaintEvent,
    QPen,
    QResizeEvent,
    QTextOption,
)
from PySide6.QtWidgets import (
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from desktop.ui.kit.buttons import Button
from desktop.ui.kit.glyphs import EmptyArt, StateGlyph, paint_state
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.states import State
from desktop.ui.kit.steps import BootStep, StepBars, paint_bar
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.words import tr

MOST_CODE_LINES = 10


class Label(QLabel):
    """Text in one of the theme's roles and colours; it follows zoom and theme."""

    def __init__(
        self, theme: Theme, text: str = "", role: str = "body", tone: str = "", parent: QWidget | None = None
    ) -> None:
        super().__init__(text, parent)
        self._theme, self._role = theme, role
        self.setProperty("role", role)
        self.setTextFormat(Qt.TextFormat.PlainText)
        if tone:
            self.setProperty("tone", tone)
        self._on_theme()
        theme.changed.connect(self._on_theme)

    def set_tone(self, tone: str) -> None:
        if self.property("tone") != tone:
            self.setProperty("tone", tone)
            self.style().unpolish(self)
            self.style().polish(self)

    def _on_theme(self) -> None:
        self.setFont(self._theme.font(self._role))


class ElidedLabel(Label):
    """A label that can shrink: text that does not fit ends in …, and the tooltip has the whole text."""

    def __init__(
        self, theme: Theme, text: str = "", role: str = "body", tone: str = "", parent: QWidget | None = None
    ) -> None:
        super().__init__(theme, "", role, tone, parent)
        self._whole = ""
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Preferred)
        self.set_text(text)

    def set_text(self, text: str) -> None:
        self._whole = text
        self.setText(text)
        self.setToolTip(text)

    def minimumSizeHint(self) -> QSize:
        return QSize(24, super().minimumSizeHint().height())

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setFont(self.font())
        painter.setPen(self._theme.colour(str(self.property("tone") or "text")))
        text = painter.fontMetrics().elidedText(self._whole, Qt.TextElideMode.ElideMiddle, self.width())
        painter.drawText(self.rect(), Qt.AlignmentFlag.AlignVCenter, text)


class Card(QFrame):
    """A surface with a border; `edge` is the colour token of a bar at its left that marks a problem."""

    def __init__(self, theme: Theme, edge: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.edge = edge
        theme.changed.connect(self.update)

    def set_edge(self, edge: str) -> None:
        self.edge = edge
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        box = QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
        painter.setPen(QPen(self._theme.colour("line"), 1))
        painter.setBrush(self._theme.brush("surface"))
        painter.drawRoundedRect(box, 10, 10)
        if self.edge:
            path = QPainterPath()
            path.addRoundedRect(QRectF(self.rect()), 10, 10)
            painter.setClipPath(path)
            painter.fillRect(QRect(0, 0, 4, self.height()), self._theme.colour(self.edge))


class CardTitle(QWidget):
    """Icon, title, a note beside it, and a second note at the right."""

    def __init__(self, theme: Theme, icons: Icons, icon: str, title: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        row.addWidget(IconLabel(theme, icons, icon, "text2", 18))
        self.title = Label(theme, title, "section")
        self.fact = Label(theme, "", "small", "text2")
        self.right = Label(theme, "", "small", "text2")
        row.addWidget(self.title)
        row.addWidget(self.fact)
        row.addStretch(1)
        row.addWidget(self.right)


class IconLabel(QWidget):
    """A decorative icon: the text beside it has the meaning, so it has no accessible name."""

    def __init__(
        self, theme: Theme, icons: Icons, name: str, token: str = "text2", size: int = 16, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._icons, self._name, self._token, self._size = icons, name, token, size
        self.setFixedSize(size, size)
        theme.changed.connect(self.update)

    def set_icon(self, name: str, token: str) -> None:
        self._name, self._token = name, token
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        self._icons.paint(QPainter(self), self._name, self._token, self.rect(), self._size)


class Chip(QWidget):
    """The name of a state on the state's soft colour, with its glyph."""

    def __init__(
        self, theme: Theme, state: State = State.STOPPED, text: str = "", parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._theme, self.state, self.text = theme, state, text
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        theme.changed.connect(self.update)
        self.set_state(state, text)

    def set_state(self, state: State, text: str) -> None:
        self.state, self.text = state, text
        self.setAccessibleName(text)
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(QFontMetrics(self._theme.font("smallname")).horizontalAdvance(self.text) + 30, 22)

    minimumSizeHint = sizeHint

    def paintEvent(self, _event: QPaintEvent) -> None:
        paint_chip(QPainter(self), self._theme, self.state, self.text, self.rect())


def paint_chip(painter: QPainter, theme: Theme, state: State | None, text: str, box: QRect) -> None:
    """Paint a chip into `box`, whose height is 20 to 22; without a `state` it is neutral and has no glyph."""
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(theme.brush(state.soft if state else "stopsoft"))
    painter.drawRoundedRect(QRectF(box), box.height() / 2, box.height() / 2)
    left = 9
    if state:
        paint_state(painter, theme, state, QPointF(box.x() + 11, box.y() + box.height() / 2), 8.5)
        left = 20
    painter.setFont(theme.font("smallname"))
    painter.setPen(theme.colour(state.token if state else "text2"))
    painter.drawText(box.adjusted(left, 0, 0, 0), Qt.AlignmentFlag.AlignVCenter, text)
    painter.restore()


def chip_width(theme: Theme, text: str, *, with_glyph: bool) -> int:
    return QFontMetrics(theme.font("smallname")).horizontalAdvance(text) + (30 if with_glyph else 18)


class Bar(QWidget):
    """A progress bar from 0 to 1."""

    def __init__(self, theme: Theme, width: int = 80, token: str = "c1", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme, self._token, self._fraction = theme, token, 0.0
        self.setFixedSize(width, 6)
        theme.changed.connect(self.update)

    def set_fraction(self, fraction: float) -> None:
        self._fraction = fraction
        self.setAccessibleName(f"{fraction:.0%}")
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        paint_bar(QPainter(self), self._theme, QRectF(self.rect()), self._fraction, self._token)


class KeyCap(QWidget):
    """A key's name in a small frame."""

    def __init__(self, theme: Theme, key: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme, self._key = theme, key
        width = QFontMetrics(theme.font("captionname")).horizontalAdvance(key) + 10
        self.setFixedSize(max(18, width), 18)
        theme.changed.connect(self.update)

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(self._theme.colour("line2"), 1))
        painter.setBrush(self._theme.brush("sunken"))
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), 4, 4)
        painter.setFont(self._theme.font("captionname"))
        painter.setPen(self._theme.colour("text2"))
        painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, self._key)


class Field(QLineEdit):
    """A line edit with an icon; `hint` is its placeholder and its accessible name. `clears`: it has a clear button,
    and Esc empties it before it does anything else."""

    def __init__(
        self,
        theme: Theme,
        icons: Icons,
        hint: str,
        icon: str = "",
        *,
        clears: bool = False,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._theme, self._icons, self._icon_name = theme, icons, icon
        self.setPlaceholderText(hint)
        self.setAccessibleName(hint)
        if icon:
            self.setTextMargins(21, 0, 0, 0)
        self._clear: Button | None = None
        if clears:
            self._clear = Button(
                theme, icons, icon="x", kind="ghost", name=tr("Clear"), height=24, icon_size=12, parent=self
            )
            self._clear.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            self._clear.clicked.connect(self.clear)
            self._clear.hide()
            self.textChanged.connect(self._on_text)
        theme.changed.connect(self.update)

    def _on_text(self, text: str) -> None:
        if self._clear is not None:
            self._clear.setVisible(bool(text))
            self.setTextMargins(21 if self._icon_name else 0, 0, 22 if text else 0, 0)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if self._clear is not None:
            self._clear.move(self.width() - 28, (self.height() - 24) // 2)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape and self._clear is not None and self.text():
            self.clear()
            return
        super().keyPressEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if self._icon_name:
            self._icons.paint(QPainter(self), self._icon_name, "text3", QRect(10, 0, 16, self.height()))


class CodeWell(Card):
    """A command or detail to copy, in the mono font, with its copy button."""

    def __init__(
        self, theme: Theme, icons: Icons, text: str = "", *, name: str = "", parent: QWidget | None = None
    ) -> None:
        super().__init__(theme, parent=parent)
        row = QHBoxLayout(self)
        row.setContentsMargins(14, 8, 10, 8)
        self._text = QPlainTextEdit()
        self._text.setReadOnly(True)
        self._text.setProperty("kind", "bare")
        self._text.setAccessibleName(name or tr("The same as a command"))
        self._text.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self._text.setTabChangesFocus(True)
        self._text.document().setDocumentMargin(0)
        self._copied = ""
        copy = Button(theme, icons, icon="copy-simple", kind="ghost", name=tr("Copy"), height=28, icon_size=14)
        copy.clicked.connect(self.copy)
        row.addWidget(self._text, 1)
        row.addWidget(copy, 0, Qt.AlignmentFlag.AlignTop)
        theme.changed.connect(self._on_theme)
        self._on_theme()
        self.set_text(text)

    def _on_theme(self) -> None:
        self._text.setFont(self._theme.font("mono"))
        self._fit()

    def set_text(self, text: str, copied: str | None = None) -> None:
        """Show `text`; the copy button copies `copied` if it is given (a command in one line)."""
        self._text.setPlainText(text)
        self._copied = text if copied is None else copied
        self._fit()

    def text(self) -> str:
        return self._text.toPlainText()

    def _fit(self) -> None:
        """Set the height to that of the wrapped text, at most ten lines; QPlainTextEdit's document counts in lines."""
        lines = min(MOST_CODE_LINES, max(1, round(self._text.document().size().height())))
        self._text.setViewportMargins(0, 6 if lines == 1 else 2, 0, 0)
        more = (
            Qt.ScrollBarPolicy.ScrollBarAsNeeded if lines == MOST_CODE_LINES else Qt.ScrollBarPolicy.ScrollBarAlwaysOff
        )
        self._text.setVerticalScrollBarPolicy(more)
        self._text.setFixedHeight(max(28, math.ceil(lines * QFontMetricsF(self._text.font()).lineSpacing()) + 12))

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def copy(self) -> None:
        QGuiApplication.clipboard().setText(self._copied)

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(self._theme.colour("line"), 1))
        painter.setBrush(self._theme.brush("sunken"))
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), 8, 8)


class FactsView(QScrollArea):
    """Names and values as a view of their own, which scrolls."""

    def __init__(self, theme: Theme, icons: Icons, icon: str, title: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWidgetResizable(True)
        inner = QWidget()
        inner.setObjectName("scrolled")
        column = QVBoxLayout(inner)
        column.setContentsMargins(17, 14, 16, 14)
        self._card = FactsCard(theme, icons, icon, title)
        column.addWidget(self._card)
        column.addStretch(1)
        self.setWidget(inner)

    def tell(self, facts: list[tuple[str, str, bool]]) -> None:
        """Show rows of (name, value, whether to use the mono font)."""
        self._card.tell(facts)


class EmptyPage(QWidget):
    """Shown by a page that has no content: picture, title, sentence, buttons and a command."""

    def __init__(
        self,
        theme: Theme,
        icons: Icons,
        title: str,
        sentence: str,
        buttons: Sequence[Button] = (),
        command: str = "",
        *,
        art: bool = True,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        column = QVBoxLayout(self)
        column.setContentsMargins(24, 0, 24, 0)
        column.setSpacing(0)
        column.addStretch(1)
        centre = Qt.AlignmentFlag.AlignHCenter
        if art:
            column.addWidget(EmptyArt(theme), 0, centre)
            column.addSpacing(34)
        self.title = Label(theme, title, "title")
        self.sentence = Label(theme, sentence, "lead", "text2")
        self.sentence.setWordWrap(False)
        column.addWidget(self.title, 0, centre)
        column.addSpacing(8)
        column.addWidget(self.sentence, 0, centre)
        self.more = QVBoxLayout()  # for widgets that a page adds below the sentence
        column.addLayout(self.more)
        if buttons:
            column.addSpacing(18)
            row = QHBoxLayout()
            row.setSpacing(10)
            row.addStretch(1)
            for button in buttons:
                row.addWidget(button)
            row.addStretch(1)
            column.addLayout(row)
        if command:
            column.addSpacing(20)
            column.addWidget(Label(theme, tr("or in a terminal"), "small", "text2"), 0, centre)
            column.addSpacing(10)
            well = CodeWell(theme, icons, command)
            well.setFixedWidth(392)
            column.addWidget(well, 0, centre)
        column.addStretch(3)


class Banner(Card):
    """Shows above a page that contact is lost or the VM is starting, with the steps of the start and a button."""

    def __init__(self, theme: Theme, icons: Icons, parent: QWidget | None = None) -> None:
        super().__init__(theme, "start", parent)
        row = QHBoxLayout(self)
        row.setContentsMargins(24, 12, 16, 16)
        row.setSpacing(14)
        self.glyph = StateGlyph(theme, State.WORKING, 14)
        row.addWidget(self.glyph, 0, Qt.AlignmentFlag.AlignTop)
        column = QVBoxLayout()
        column.setSpacing(6)
        self.title = Label(theme, "", "step")
        self.title.setWordWrap(True)
        self.sentence = Label(theme, "", "body", "text2")
        self.sentence.setWordWrap(True)
        self.steps = StepBars(theme)
        column.addWidget(self.title)
        column.addWidget(self.sentence)
        column.addWidget(self.steps)
        row.addLayout(column, 1)
        self.button = Button(theme, icons, tr("Stop trying"))
        row.addWidget(self.button, 0, Qt.AlignmentFlag.AlignTop)

    def tell(self, state: State, title: str, sentence: str, steps: Sequence[BootStep] = ()) -> None:
        self.glyph.set_state(state)
        self.set_edge(state.token)
        self.title.setText(title)
        self.sentence.setText(sentence)
        self.steps.set_steps(steps)


class RoundedView(QWidget):
    """A card's border and round corners, painted over the square corners of the view inside."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        theme.changed.connect(self.update)

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        outside, inside = QPainterPath(), QPainterPath()
        outside.addRect(QRectF(self.rect()))
        box = QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
        inside.addRoundedRect(box, 10, 10)
        painter.fillPath(outside.subtracted(inside), self._theme.colour("canvas"))
        painter.setPen(self._theme.pen("line"))
        painter.drawPath(inside)


class FactsCard(Card):
    """Names and values in two columns; values can be copied."""

    def __init__(self, theme: Theme, icons: Icons, icon: str, title: str, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent=parent)
        self._theme = theme
        column = QVBoxLayout(self)
        column.setContentsMargins(16, 14, 16, 16)
        column.setSpacing(12)
        self.head = CardTitle(theme, icons, icon, title)
        column.addWidget(self.head)
        self._grid = QGridLayout()
        self._grid.setHorizontalSpacing(16)
        self._grid.setVerticalSpacing(9)
        self._grid.setColumnStretch(1, 1)
        column.addLayout(self._grid)
        column.addStretch(1)

    def tell(self, facts: list[tuple[str, str, bool]]) -> None:
        """Show rows of (name, value, whether to use the mono font: ids, addresses, paths)."""
        while item := self._grid.takeAt(0):
            if widget := item.widget():
                widget.hide()
                widget.deleteLater()
        for row, (name, value, mono) in enumerate(facts):
            self._grid.addWidget(Label(self._theme, name, "small", "text2"), row, 0, Qt.AlignmentFlag.AlignTop)
            label = Label(self._theme, value, "mono" if mono else "name")
            label.setWordWrap(True)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            label.setAccessibleName(f"{name}: {value}")
            self._grid.addWidget(label, row, 1)
        self.setVisible(bool(facts))
