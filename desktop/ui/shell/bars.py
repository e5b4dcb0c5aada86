"""The bar at the top (back, forward, search, bell, Run…) and the status bar at the bottom (engine, running task)."""

from __future__ import annotations

from PySide6.QtCore import QRectF, Qt, Signal
from PySide6.QtGui import QKeySequence, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QFrame, QHBoxLayout, QWidget

from desktop.ui.feed.engine import EngineFacts, EnginePhase
from desktop.ui.kit.buttons import Button, FocusByKeyboard
from desktop.ui.kit.glyphs import StateGlyph
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.labels import IconLabel, Label
from desktop.ui.kit.signs import Bar, KeyCap
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.words import disk, duration, tr


class SearchButton(FocusByKeyboard):
    """Looks like a search field; a click opens the palette, which has the real field."""

    def __init__(self, theme: Theme, icons: Icons, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme, self._icons = theme, icons
        self.setFixedHeight(32)
        self.setMinimumWidth(160)
        self.setMaximumWidth(420)
        self.setAccessibleName(tr("Search or type a command"))
        self.setCursor(Qt.CursorShape.IBeamCursor)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 7, 0)
        row.setSpacing(4)
        row.addStretch(1)
        keys = QKeySequence(Qt.Modifier.CTRL | Qt.Key.Key_K).toString(QKeySequence.SequenceFormat.NativeText)
        for key in keys.split("+") if "+" in keys else [keys]:
            row.addWidget(KeyCap(theme, key))
        theme.changed.connect(self.update)

    def paintEvent(self, _event: QPaintEvent) -> None:
        theme = self._theme
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        border = "focus" if self.ringed else "ctl" if self.underMouse() else "line2"
        painter.setPen(QPen(theme.colour(border), 2 if self.ringed else 1))
        painter.setBrush(theme.brush("surface"))
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), 6, 6)
        self._icons.paint(painter, "magnifying-glass", "text3", self.rect().adjusted(10, 0, 26 - self.width(), 0))
        painter.setFont(theme.font("body"))
        painter.setPen(theme.colour("text3"))
        painter.drawText(self.rect().adjusted(32, 0, -70, 0), Qt.AlignmentFlag.AlignVCenter, self.accessibleName())


class TopBar(QFrame):
    """Signals: back_asked(), forward_asked(), search_asked(), bell_asked(), run_asked()."""

    back_asked = Signal()
    forward_asked = Signal()
    search_asked = Signal()
    bell_asked = Signal()
    run_asked = Signal()

    def __init__(self, theme: Theme, icons: Icons, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("topbar")
        self.setFixedHeight(52)
        row = QHBoxLayout(self)
        row.setContentsMargins(10, 1, 24, 0)
        row.setSpacing(0)
        self.back = Button(theme, icons, icon="caret-left", kind="ghost", name=tr("Back"), height=28)
        self.forward = Button(theme, icons, icon="caret-right", kind="ghost", name=tr("Forward"), height=28)
        self.search = SearchButton(theme, icons)
        self.bell = Button(theme, icons, icon="bell", kind="ghost", name=tr("Messages"))
        self.run = Button(theme, icons, tr("Run…"), "play", kind="soft", tip=tr("Run an image (Ctrl+N)"))
        row.addWidget(self.back)
        row.addWidget(self.forward)
        row.addSpacing(6)
        row.addWidget(self.search, 1)
        row.addStretch(1)
        row.addWidget(self.bell)
        row.addSpacing(8)
        row.addWidget(self.run)
        self.back.clicked.connect(self.back_asked)
        self.forward.clicked.connect(self.forward_asked)
        self.search.clicked.connect(self.search_asked)
        self.bell.clicked.connect(self.bell_asked)
        self.run.clicked.connect(self.run_asked)


class TaskLine(QWidget):
    """One running task, at the right of the status bar. Signals: clicked()."""

    clicked = Signal()

    def __init__(self, theme: Theme, icons: Icons, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        row.addWidget(IconLabel(theme, icons, "arrow-circle-down", "text2", 14))
        self._text = Label(theme, "", "smallname", "text2")
        self._bar = Bar(theme, 80)
        self._part = Label(theme, "", "smallname", "text2")
        row.addWidget(self._text)
        row.addWidget(self._bar)
        row.addWidget(self._part)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.hide()

    def tell(self, text: str, fraction: float | None) -> None:
        """Show `text` and a bar of `fraction` (0 to 1; None, total unknown: no bar). Empty text hides the line."""
        self.setVisible(bool(text))
        self._text.setText(text)
        self._bar.setVisible(fraction is not None)
        self._part.setVisible(fraction is not None)
        if fraction is not None:
            self._bar.set_fraction(fraction)
            self._part.setText(f"{fraction * 100:.0f} %")
        self.setAccessibleName(text)

    def mousePressEvent(self, _event: QMouseEvent) -> None:
        self.clicked.emit()


class StatusBar(QFrame):
    """The engine's state, the disk space of images, and the running task."""

    def __init__(self, theme: Theme, icons: Icons, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("statusbar")
        self.setFixedHeight(28)
        self.setAccessibleName(tr("Status"))
        row = QHBoxLayout(self)
        row.setContentsMargins(22, 0, 24, 0)
        row.setSpacing(0)
        self._glyph = StateGlyph(theme, size=9)
        self._word = Label(theme, "", "smallsection", "text2")
        self._more = Label(theme, "", "small", "text2")
        self._disk_name = Label(theme, tr("Images"), "small", "text2")
        self._disk = Label(theme, "", "smallname", "text2")
        self.task = TaskLine(theme, icons)
        row.addWidget(self._glyph)
        row.addSpacing(12)
        row.addWidget(self._word)
        row.addSpacing(9)
        row.addWidget(self._more)
        row.addSpacing(28)
        row.addWidget(self._disk_name)
        row.addSpacing(8)
        row.addWidget(self._disk)
        row.addStretch(1)
        row.addWidget(self.task)
        self.set_disk(None)

    def show_facts(self, facts: EngineFacts) -> None:
        self._glyph.set_state(facts.phase.state)
        self._word.setText(facts.word)
        more = ""
        if facts.phase is EnginePhase.STARTING:
            more = facts.step
        elif facts.phase is EnginePhase.RUNNING and facts.started_in_s is not None:
            more = tr("started in {time}", time=duration(facts.started_in_s))
        elif facts.phase is EnginePhase.RUNNING and facts.version:
            more = tr("version {v}", v=facts.version)
        elif facts.problem:
            more = facts.problem.splitlines()[0]
        self._more.setText(more)

    def set_disk(self, size: int | None) -> None:
        self._disk_name.setVisible(size is not None)
        self._disk.setVisible(size is not None)
        if size is not None:
            self._disk.setText(tr("{size} on disk", size=disk(size)))
            self._disk.setToolTip(
                tr("{n} bytes: the sum of the images' sizes, shared layers counted once each", n=f"{size:,}")
            )
