"""The Activity page: the engine's events, newest first."""

from __future__ import annotations

from PySide6.QtCore import (
    QModelIndex,
    QRect,
    QRectF,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import (
    QHBoxLayout,
    QListView,
    QStackedLayout,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from desktop.ui.activity.model import ActivityModel, HappeningRole, Index, sentence, tone
from desktop.ui.feed.facts import Happening
from desktop.ui.kit.buttons import Segments
from desktop.ui.kit.cards import Card, EmptyPage, Field
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.page_head import PageHead
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.words import clock_ms, counted, short_id, tr

ROW = 36
KINDS = ("", "container", "image", "network", "volume")
ICONS = {
    "container": "cube",
    "image": "stack",
    "network": "share-network",
    "volume": "database",
    "engine": "desktop-tower",
}


class _Delegate(QStyledItemDelegate):
    def __init__(self, theme: Theme, icons: Icons, parent: QWidget) -> None:
        super().__init__(parent)
        self._theme, self._icons = theme, icons

    def sizeHint(self, _option: QStyleOptionViewItem, _index: Index) -> QSize:
        return QSize(100, ROW)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        happening = index.data(HappeningRole)
        if not isinstance(happening, Happening):
            return
        theme = self._theme
        rect: QRect = option.rect
        state: QStyle.StateFlag = option.state
        painter.save()
        if state & (QStyle.StateFlag.State_Selected | QStyle.StateFlag.State_MouseOver):
            painter.fillRect(rect, theme.colour("sel" if state & QStyle.StateFlag.State_Selected else "hover"))
        painter.setPen(theme.pen("line"))
        painter.drawLine(rect.left(), rect.bottom(), rect.right(), rect.bottom())
        middle = Qt.AlignmentFlag.AlignVCenter
        painter.setFont(theme.font("mono"))
        painter.setPen(theme.colour("text3"))
        painter.drawText(QRectF(rect.x() + 16, rect.y(), 110, ROW), middle, clock_ms(happening.at_s))
        icon = "warning" if tone(happening) == "bad" else ICONS.get(happening.kind, "info")
        self._icons.paint(painter, icon, tone(happening), QRect(rect.x() + 132, rect.y(), 16, ROW))
        painter.setFont(theme.font("body"))
        painter.setPen(theme.colour("bad" if tone(happening) == "bad" else "text"))
        room = rect.width() - 160 - 150
        text = painter.fontMetrics().elidedText(sentence(happening), Qt.TextElideMode.ElideRight, room)
        painter.drawText(QRect(rect.x() + 160, rect.y(), room, ROW), middle, text)
        painter.setFont(theme.font("mono"))
        painter.setPen(theme.colour("text3"))
        right = QRect(rect.right() - 150, rect.y(), 135, ROW)
        painter.drawText(right, middle | Qt.AlignmentFlag.AlignRight, short_id(happening.object_id)[:12])
        painter.restore()


class ActivityPage(QWidget):
    """Signals: container_asked(id)."""

    container_asked = Signal(str)

    def __init__(self, theme: Theme, icons: Icons, model: ActivityModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("page")
        self._model = model
        column = QVBoxLayout(self)
        column.setContentsMargins(24, 0, 24, 16)
        column.setSpacing(0)
        head = PageHead(theme, tr("Activity"))
        self.summary = head.summary
        column.addLayout(head)
        tools = QHBoxLayout()
        tools.setContentsMargins(0, 0, 0, 12)
        tools.setSpacing(12)
        names = (tr("All"), tr("Containers"), tr("Images"), tr("Networks"), tr("Volumes"))
        self.segments = Segments(theme, names, tr("Which events"))
        self.search = Field(theme, icons, tr("Filter by name or word"), "funnel-simple")
        self.search.setFixedWidth(232)
        tools.addWidget(self.segments)
        tools.addWidget(self.search)
        tools.addStretch(1)
        column.addLayout(tools)
        body = QWidget()
        self._stack = QStackedLayout(body)
        card = Card(theme)
        inner = QVBoxLayout(card)
        inner.setContentsMargins(1, 6, 1, 6)
        self.view = QListView()
        self.view.setModel(model)
        self.view.setItemDelegate(_Delegate(theme, icons, self.view))
        self.view.setUniformItemSizes(True)
        self.view.setMouseTracking(True)
        self.view.setVerticalScrollMode(QListView.ScrollMode.ScrollPerPixel)
        self.view.setAccessibleName(tr("Activity"))
        inner.addWidget(self.view)
        self._stack.addWidget(card)
        empty = EmptyPage(
            theme, icons, tr("Nothing has happened yet"), tr("What the engine does from now on is listed here.")
        )
        self._stack.addWidget(empty)
        column.addWidget(body, 1)
        self.table = self.view
        self.segments.chosen.connect(self._on_filter)
        self.search.textChanged.connect(self._on_filter)
        self.view.activated.connect(self._on_activated)
        model.rowsInserted.connect(self.refresh)
        model.modelReset.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        total = self._model.total
        self.summary.setText(
            counted(total, "{n} event since the window opened", "{n} events since the window opened") if total else ""
        )
        self._stack.setCurrentIndex(0 if total else 1)

    def _on_filter(self) -> None:
        self._model.choose(KINDS[self.segments.current], self.search.text())

    def _on_activated(self, index: QModelIndex) -> None:
        happening = index.data(HappeningRole)
        if isinstance(happening, Happening) and happening.kind == "container":
            self.container_asked.emit(happening.object_id)
