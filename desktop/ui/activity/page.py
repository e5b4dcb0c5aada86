"""The Activity page: the engine's events, newest first."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import (
    QModelIndex,
    QRect,
    QRectF,
    QSize,
    Qt,
)
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import (
    QListView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from desktop.ui.activity.model import ActivityModel, HappeningRole, Index, sentence, tone
from desktop.ui.feed.happening import Happening
from desktop.ui.kit.cards import Card
from desktop.ui.kit.empty import EmptyPage
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.listing import ListPage
from desktop.ui.kit.page import Desk, Place
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


class ActivityPage(ListPage):
    """What the engine did, newest first."""

    def __init__(self, desk: Desk, model: ActivityModel, parent: QWidget | None = None) -> None:
        super().__init__(
            desk,
            title=tr("Activity"),
            segments=(tr("All"), tr("Containers"), tr("Images"), tr("Networks"), tr("Volumes")),
            which=tr("Which events"),
            hint=tr("Filter by name or word"),
            parent=parent,
        )
        self._model = model
        card = Card(desk.theme)
        inner = QVBoxLayout(card)
        inner.setContentsMargins(1, 6, 1, 6)
        self.view = QListView()
        self.view.setProperty("kind", "plain")
        self.view.setModel(model)
        self.view.setItemDelegate(_Delegate(desk.theme, desk.icons, self.view))
        self.view.setUniformItemSizes(True)
        self.view.setMouseTracking(True)
        self.view.setVerticalScrollMode(QListView.ScrollMode.ScrollPerPixel)
        self.view.setAccessibleName(tr("Activity"))
        inner.addWidget(self.view)
        empty = EmptyPage(
            desk.theme,
            desk.icons,
            tr("Nothing has happened yet"),
            tr("What the engine does is listed here."),
        )
        self.build(card, self.view, empty)
        self.view.activated.connect(self._on_activated)
        self.watch(model)
        self.refresh()

    def choose(self, text: str, segment: int) -> None:
        self._model.choose(KINDS[segment], text)

    def counts(self) -> Sequence[int]:
        return self._model.counts(KINDS)

    def shown_count(self) -> int:
        return self._model.rowCount()

    def summarize(self) -> str:
        total = self._model.total
        return counted(total, "{n} event, newest first", "{n} events, newest first") if total else ""

    def _on_activated(self, index: QModelIndex) -> None:
        happening = index.data(HappeningRole)
        if isinstance(happening, Happening) and happening.kind == "container":
            self.desk.go(Place("container", happening.object_id))
