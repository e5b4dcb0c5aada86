"""The containers table: a tree view that draws cached pictures of rows and emits the actions clicked in them."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QModelIndex, QPoint, QSize, Qt, QTimer, Signal
from PySide6.QtGui import (
    QHelpEvent,
    QHideEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QResizeEvent,
    QShowEvent,
)
from PySide6.QtWidgets import QStyledItemDelegate, QStyleOptionViewItem, QToolTip, QWidget

from desktop.ui.containers.filter import ContainerFilter
from desktop.ui.containers.model import Column, ContainerModel, Group, Index, Row
from desktop.ui.containers.row_painter import ROW_HEIGHT, Look, Painted, Place, RowPainter, actions_of
from desktop.ui.feed.container import Container
from desktop.ui.kit.glyphs import FRAMES_PER_S, motion_allowed
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.selection import Selection
from desktop.ui.kit.states import State
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.tree import TableHead, Tree
from desktop.ui.kit.words import tr

# Column widths in a table of 1024 pixels, and each column's share of additional width.
BASE_WIDTHS = {
    Column.NAME: 247,
    Column.IMAGE: 176,
    Column.CPU: 136,
    Column.MEMORY: 196,
    Column.PORTS: 120,
    Column.SINCE: 146,
}
SHARES = {Column.NAME: 0.34, Column.IMAGE: 0.36, Column.MEMORY: 0.0, Column.PORTS: 0.3}
MIN_WIDTHS = {Column.NAME: 150, Column.IMAGE: 90, Column.PORTS: 64}


class _RowHeight(QStyledItemDelegate):
    """Gives the height of a row; the table itself paints the rows."""

    def sizeHint(self, _option: QStyleOptionViewItem, _index: Index) -> QSize:
        return QSize(60, ROW_HEIGHT)


class ContainerTable(Tree):
    """Rows of containers under their projects.

    Signals: `asked(key, container)` for start, stop, restart, logs, terminal, delete, open, inspect, why, resume;
    `menu_asked(container, place)`, `port_asked(container, number, copy)`. `selection` holds the checked rows.
    """

    asked = Signal(str, object)
    group_asked = Signal(str, object)
    menu_asked = Signal(object, QPoint)
    port_asked = Signal(object, int, bool)

    def __init__(self, theme: Theme, icons: Icons, model: ContainerModel, parent: QWidget | None = None) -> None:
        super().__init__(theme, tr("Containers"), parent)
        self._painter = RowPainter(theme, icons)
        self._turn = 0
        self.filter = ContainerFilter(model, self)
        self.selection = Selection(self.filter, self.filter.key_of, self)
        head = TableHead(theme, icons, self, right=lambda column: column == Column.SINCE, selection=self.selection)
        self.take(self.filter, head, self.selection)
        self.setItemDelegate(_RowHeight(self))
        self.setItemsExpandable(True)
        self.setExpandsOnDoubleClick(False)
        self._frames = QTimer(self)
        self._frames.setInterval(1000 // FRAMES_PER_S)
        self._frames.timeout.connect(self._on_frame)
        self._clock = QTimer(self)  # repaints growing uptimes; sends no request
        self._clock.setInterval(1_000)
        self._clock.timeout.connect(self.viewport().update)
        self.filter.rowsInserted.connect(self._on_rows_inserted)
        self.filter.modelReset.connect(self.expandAll)
        model.dataChanged.connect(self.repaint_all)

    # what the page asks ----------------------------------------------------------------------------------------------

    def current(self) -> Group | Row | None:
        return self.filter.node(self.currentIndex())

    def current_container(self) -> Container | None:
        node = self.current()
        return node.container if isinstance(node, Row) else None

    def visible_ids(self) -> list[str]:
        """Ids of the containers whose rows are in the viewport: only their usage is measured."""
        if not self.isVisible():
            return []
        ids: list[str] = []
        index = self.indexAt(QPoint(4, 1))
        bottom = self.viewport().height()
        while index.isValid() and self.visualRect(index).top() < bottom:
            node = self.filter.node(index)
            if isinstance(node, Row):
                ids.append(node.container.id)
            elif isinstance(node, Group) and not self.isExpanded(index):
                ids += [row.container.id for row in node.rows]
            index = self.indexBelow(index)
        return ids

    # painting --------------------------------------------------------------------------------------------------------

    def _columns(self) -> tuple[int, ...]:
        header = self.header()
        edges = [header.sectionPosition(column) for column in Column]
        return (*edges, edges[-1] + header.sectionSize(Column.SINCE))

    def drawRow(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        node = self.filter.node(index)
        if node is None:
            return
        shown = self._painted(node, index)
        painter.drawPixmap(0, option.rect.y(), shown.pixmap)

    def places(self, index: Index) -> tuple[Place, ...]:
        """The clickable parts of a row, relative to the row's top left corner."""
        node = self.filter.node(index)
        return self._painted(node, index).places if node is not None else ()

    def _painted(self, node: Group | Row, index: Index) -> Painted:
        index = self.filter.index(index.row(), 0, index.parent())
        below = self.indexBelow(index)
        current = self.hasFocus() and self._by_keyboard and index == self.currentIndex().siblingAtColumn(0)
        hovered = self._hover.isValid() and index == self._hover
        working = isinstance(node, Row) and node.container.state is State.WORKING
        look = Look(
            hovered=hovered,
            focused=current,
            shows_check=hovered or current or len(self.selection) > 0,
            selected=self.selection.of(index),
            expanded=isinstance(node, Group) and self.isExpanded(index),
            is_child=index.parent().isValid(),
            next_is_child=below.isValid() and below.parent().isValid(),
            turn=self._turn if working else 0,
        )
        return self._painter.painted(node, look, self._columns(), self.devicePixelRatioF())

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        rows = [self.filter.node(self.indexAt(QPoint(4, y))) for y in range(1, self.viewport().height(), ROW_HEIGHT)]
        working = any(isinstance(n, Row) and n.container.state is State.WORKING for n in rows)
        if working and not self._frames.isActive() and motion_allowed(self):
            self._frames.start()
        elif not working:
            self._frames.stop()

    def _on_frame(self) -> None:
        self._turn = self._turn % 14 + 1
        self.viewport().update()

    def _on_rows_inserted(self, parent: QModelIndex, first: int, last: int) -> None:
        if parent.isValid():
            self.expand(parent)
            return
        for row in range(first, last + 1):
            self.expand(self.filter.index(row, 0))

    # geometry --------------------------------------------------------------------------------------------------------

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        spare = self.viewport().width() - sum(BASE_WIDTHS.values())
        widths = dict(BASE_WIDTHS)
        for column, share in SHARES.items():
            widths[column] = max(MIN_WIDTHS.get(column, 60), round(BASE_WIDTHS[column] + spare * share))
        widths[Column.SINCE] = max(80, self.viewport().width() - sum(widths[c] for c in Column if c != Column.SINCE))
        for column in Column:
            self.header().resizeSection(column, widths[column])

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._clock.start()

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self._clock.stop()
        self._frames.stop()

    # pointer and keys ------------------------------------------------------------------------------------------------

    def _place_at(self, pos: QPoint) -> tuple[Group | Row, QModelIndex, Place | None] | None:
        index = self.indexAt(pos).siblingAtColumn(0)
        node = self.filter.node(index)
        if node is None:
            return None
        at = QPoint(pos.x(), pos.y() - self.visualRect(index).y())
        return node, index, next((place for place in self.places(index) if place.box.contains(at)), None)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        super().mouseMoveEvent(event)
        found = self._place_at(event.position().toPoint())
        hot = (
            found is not None and found[2] is not None and found[2].what in ("port", "why", "name", "action", "expand")
        )
        self.viewport().setCursor(Qt.CursorShape.PointingHandCursor if hot else Qt.CursorShape.ArrowCursor)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self._by_keyboard = False
        found = self._place_at(event.position().toPoint())
        if found is None or event.button() != Qt.MouseButton.LeftButton:
            super().mousePressEvent(event)
            return
        node, index, place = found
        self.setCurrentIndex(index)
        what = place.what if place else ""
        if what == "check":
            self.selection.toggle(index)
        elif isinstance(node, Group):
            self.setExpanded(index, not self.isExpanded(index))
        elif what == "port" and place:
            copy = bool(event.modifiers() & Qt.KeyboardModifier.ControlModifier)
            self.port_asked.emit(node.container, int(place.value), copy)
        elif what == "action" and place:
            self._act(
                place.value,
                node.container,
                self.viewport().mapToGlobal(QPoint(place.box.left(), event.position().toPoint().y() + 12)),
            )
        elif what == "why":
            self.asked.emit("why", node.container)
        elif what == "name":
            self.asked.emit("open", node.container)
        self.viewport().update()

    def _act(self, key: str, container: Container, place: QPoint) -> None:
        if key == "more":
            self.menu_asked.emit(container, place)
        else:
            self.asked.emit(key, container)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        found = self._place_at(event.position().toPoint())
        if found and isinstance(found[0], Row) and (found[2] is None or found[2].what == "name"):
            self.asked.emit("open", found[0].container)

    def on_menu(self, index: QModelIndex, place: QPoint) -> None:
        node = self.filter.node(index)
        if isinstance(node, Row):
            self.setCurrentIndex(index)
            self.menu_asked.emit(node.container, place)

    def viewportEvent(self, event: QEvent) -> bool:
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip:
            found = self._place_at(event.pos())
            if found and found[2] and found[2].what == "action" and isinstance(found[0], Row):
                name = next((n for k, _i, n in actions_of(found[0]) if k == found[2].value), "")
                QToolTip.showText(event.globalPos(), name, self)
                return True
        return super().viewportEvent(event)

    def on_enter(self, index: QModelIndex, modifiers: Qt.KeyboardModifier) -> None:
        node = self.filter.node(index)
        if isinstance(node, Row):
            inspect = bool(modifiers & Qt.KeyboardModifier.AltModifier)
            self.asked.emit("inspect" if inspect else "open", node.container)
        elif isinstance(node, Group):
            self.setExpanded(index, not self.isExpanded(index))
