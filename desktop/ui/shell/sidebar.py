"""The sidebar: the pages with their counts, and the engine switch at the bottom."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import (
    QAbstractListModel,
    QModelIndex,
    QPersistentModelIndex,
    QPoint,
    QPointF,
    QRect,
    QRectF,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import QFocusEvent, QFontMetrics, QPainter, QPaintEvent, QPen, QResizeEvent
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QListView,
    QMenu,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from desktop.ui.feed.engine import EngineFacts, EnginePhase
from desktop.ui.kit.buttons import KEYBOARD_REASONS, FocusByKeyboard
from desktop.ui.kit.glyphs import Mark, StateGlyph
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.labels import Label
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.words import memory, tr
from desktop.ui.shell.pages import PageSpec

WIDE, NARROW = 208, 56
ROW = 34
GAP = 12  # above an entry that begins a section

Index = QModelIndex | QPersistentModelIndex


class PagesModel(QAbstractListModel):
    """The pages and their counts; an unknown count is None and not shown."""

    def __init__(self, pages: Sequence[PageSpec], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.pages = tuple(pages)
        self._counts: dict[str, int | None] = {}

    def set_count(self, key: str, count: int | None) -> None:
        if self._counts.get(key) != count:
            self._counts[key] = count
            row = next(n for n, page in enumerate(self.pages) if page.key == key)
            self.dataChanged.emit(self.index(row), self.index(row))

    def count(self, row: int) -> int | None:
        return self._counts.get(self.pages[row].key)

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self.pages)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> str | None:
        if not index.isValid():
            return None
        page = self.pages[index.row()]
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            return tr(page.title)
        if role == Qt.ItemDataRole.AccessibleTextRole:
            count = self.count(index.row())
            return tr(page.title) if count is None else f"{tr(page.title)}, {count}"
        return None


class _PageDelegate(QStyledItemDelegate):
    def __init__(self, theme: Theme, icons: Icons, model: PagesModel, view: QListView) -> None:
        super().__init__(view)
        self._theme, self._icons, self._model, self._view = theme, icons, model, view

    def sizeHint(self, _option: QStyleOptionViewItem, index: Index) -> QSize:
        return QSize(0, ROW + self._room_above(index.row()))

    def _room_above(self, row: int) -> int:
        """The room above an entry: a gap, or what pushes the first entry of the foot to the lower end."""
        pages = self._model.pages
        if not pages[row].foot or (row and pages[row - 1].foot):
            return GAP if pages[row].gap else 0
        entries = len(pages) * ROW + sum(GAP for page in pages if page.gap)
        return max(GAP, self._view.viewport().height() - entries - 4)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        theme, page = self._theme, self._model.pages[index.row()]
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        rect: QRect = option.rect
        state: QStyle.StateFlag = option.state
        box = QRect(8, rect.bottom() - ROW + 2, rect.width() - 16, 32)
        selected = bool(state & QStyle.StateFlag.State_Selected)
        if selected or state & QStyle.StateFlag.State_MouseOver:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme.brush("accentsoft" if selected else "hover"))
            painter.drawRoundedRect(QRectF(box), 6, 6)
        if selected:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme.brush("indicator"))
            painter.drawRoundedRect(QRectF(box.x(), box.y() + 8, 3, 16), 1.5, 1.5)
        if state & QStyle.StateFlag.State_HasFocus and self._view.property("ringed"):
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(theme.colour("focus"), 2))
            painter.drawRoundedRect(QRectF(box).adjusted(1, 1, -1, -1), 6, 6)
        narrow = rect.width() < 100
        icon_box = QRect(box.x() + (11 if narrow else 12), box.y(), 20, box.height())
        self._icons.paint(painter, page.icon, "accent" if selected else "text2", icon_box, 18)
        if not narrow:
            painter.setFont(theme.font("section" if selected else "name"))
            painter.setPen(theme.colour("text" if selected else "text2"))
            painter.drawText(box.adjusted(41, 0, -34, 0), Qt.AlignmentFlag.AlignVCenter, tr(page.title))
            if (count := self._model.count(index.row())) is not None:
                painter.setFont(theme.font("small"))
                painter.setPen(theme.colour("text2"))
                where = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight
                painter.drawText(box.adjusted(0, 0, -9, 0), where, f"{count:,}")
        painter.restore()


class EngineSwitch(FocusByKeyboard):
    """The card at the bottom: the engine's state, location and resources; a click opens its menu.

    Signals: opening() before the menu is shown, so that a slot can fill it.
    """

    opening = Signal()

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._facts = EngineFacts(phase=EnginePhase.CONNECTING, kind="native")
        self._glyph = StateGlyph(theme, parent=self)
        self._glyph.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.menu = QMenu(self)
        self.narrow = False
        self.setFixedHeight(54)
        self.clicked.connect(self._on_clicked)
        theme.changed.connect(self.update)

    def show_facts(self, facts: EngineFacts) -> None:
        self._facts = facts
        self._glyph.set_state(facts.phase.state)
        self.setAccessibleName(f"{facts.name}, {facts.word}, {self.second_line()}")
        tips = [facts.word, facts.address, facts.version and tr("Engine {v}", v=facts.version), facts.why_accelerator]
        self.setToolTip("\n".join(t for t in tips if t))
        self.update()

    def second_line(self) -> str:
        facts = self._facts
        if facts.phase is EnginePhase.RUNNING:
            parts = [facts.accelerator.upper()] if facts.accelerator else []
            if facts.cpus:
                parts.append(tr("{n} CPUs", n=facts.cpus) if facts.cpus != 1 else tr("1 CPU"))
            if facts.memory_bytes:
                parts.append(memory(facts.memory_bytes))
            return " · ".join(parts)
        if facts.phase is EnginePhase.STARTING and facts.step:
            return facts.step
        return {
            EnginePhase.CONNECTING: tr("Connecting"),
            EnginePhase.STARTING: tr("Starting"),
            EnginePhase.STOPPING: tr("Stopping"),
            EnginePhase.STOPPED: tr("Stopped"),
            EnginePhase.SAVED: tr("Saved until it is used"),
            EnginePhase.LOST: tr("No contact"),
            EnginePhase.FAILED: tr("Stopped unexpectedly") if facts.ran else tr("Could not start"),
        }.get(facts.phase, "")

    def _on_clicked(self) -> None:
        self.opening.emit()
        above = QPoint(0, self.menu.sizeHint().height() + 4)
        self.menu.popup(self.mapToGlobal(self.rect().topLeft()) - above)

    def paintEvent(self, _event: QPaintEvent) -> None:
        theme = self._theme
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        box = QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5)
        painter.setPen(QPen(theme.colour("focus"), 2) if self.ringed else QPen(theme.colour("line"), 1))
        painter.setBrush(
            theme.brush("hover" if self.underMouse() else "surface" if theme.scheme == "light" else "raised")
        )
        painter.drawRoundedRect(box, 10, 10)
        middle = self.height() // 2
        self._glyph.move(self.width() // 2 - 8 if self.narrow else 14, middle - 8 if self.narrow else 11)
        if self.narrow:
            return
        painter.setFont(theme.font("section"))
        painter.setPen(theme.colour("text"))
        room = self.width() - 41 - 30
        name = painter.fontMetrics().elidedText(self._facts.name, Qt.TextElideMode.ElideRight, room)
        painter.drawText(QRect(41, 9, room, 20), Qt.AlignmentFlag.AlignVCenter, name)
        painter.setFont(theme.font("small"))
        painter.setPen(theme.colour("text2"))
        line = QFontMetrics(theme.font("small")).elidedText(
            self.second_line(), Qt.TextElideMode.ElideRight, self.width() - 53
        )
        painter.drawText(QRect(41, 27, self.width() - 49, 20), Qt.AlignmentFlag.AlignVCenter, line)
        painter.setPen(theme.pen("text2", 1.2))
        x, y = self.width() - 18, 19
        painter.drawPolyline([QPointF(x - 4, y - 2), QPointF(x, y + 2), QPointF(x + 4, y - 2)])


class Sidebar(QFrame):
    """Signals: page_chosen(key)."""

    page_chosen = Signal(str)

    def __init__(self, theme: Theme, icons: Icons, pages: Sequence[PageSpec], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("sidebar")
        self._theme = theme
        self.model = PagesModel(pages, self)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 8)
        column.setSpacing(0)
        head = QWidget()
        head.setFixedHeight(52)
        row = QHBoxLayout(head)
        row.setContentsMargins(18, 0, 8, 0)
        row.setSpacing(9)
        row.addWidget(Mark(theme))
        self._name = Label(theme, "Cove", "heading")
        row.addWidget(self._name)
        row.addStretch(1)
        column.addWidget(head)
        self.view = _PagesView()
        self.view.setProperty("kind", "plain")
        self.view.setModel(self.model)
        self.view.setItemDelegate(_PageDelegate(theme, icons, self.model, self.view))
        self.view.setAccessibleName(tr("Pages"))
        self.view.setMouseTracking(True)
        self.view.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.view.setCurrentIndex(self.model.index(0))
        self.view.clicked.connect(self._on_activated)
        self.view.activated.connect(self._on_activated)
        self.view.selectionModel().currentChanged.connect(self._on_current)
        column.addSpacing(3)
        column.addWidget(self.view, 1)
        foot = QHBoxLayout()
        foot.setContentsMargins(8, 0, 8, 0)
        self.switch = EngineSwitch(theme)
        foot.addWidget(self.switch)
        column.addLayout(foot)
        self.set_narrow(False)
        theme.changed.connect(self.view.viewport().update)

    def set_narrow(self, narrow: bool) -> None:
        self.setFixedWidth(NARROW if narrow else WIDE)
        self._name.setVisible(not narrow)
        self.switch.narrow = narrow
        self.switch.update()

    @property
    def is_narrow(self) -> bool:
        return self.width() == NARROW

    def choose(self, key: str) -> None:
        """Show `key` as the current page, without emitting `page_chosen`."""
        for row, page in enumerate(self.model.pages):
            if page.key == key:
                blocked = self.view.selectionModel().blockSignals(True)
                self.view.setCurrentIndex(self.model.index(row))
                self.view.selectionModel().blockSignals(blocked)
                self.view.viewport().update()

    def _on_activated(self, index: QModelIndex) -> None:
        self.page_chosen.emit(self.model.pages[index.row()].key)

    def _on_current(self, index: QModelIndex) -> None:
        if index.isValid() and self.view.hasFocus():
            self.page_chosen.emit(self.model.pages[index.row()].key)


class _PagesView(QListView):
    """A list that records whether it got the focus by keyboard."""

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.scheduleDelayedItemsLayout()  # the entries at the lower end move with it

    def focusInEvent(self, event: QFocusEvent) -> None:
        self.setProperty("ringed", event.reason() in KEYBOARD_REASONS)
        super().focusInEvent(event)
