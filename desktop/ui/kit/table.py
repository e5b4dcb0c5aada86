"""A table of things whose columns are data, and how a row is painted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic

from PySide6.QtCore import (
    QModelIndex,
    QPoint,
    QPointF,
    QRect,
    QRectF,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import (
    QMouseEvent,
    QPainter,
    QPen,
    QResizeEvent,
)
from PySide6.QtWidgets import QStyledItemDelegate, QStyleOptionViewItem, QWidget

from desktop.ui.kit.buttons import paint_check
from desktop.ui.kit.glyphs import paint_state
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.rows import Cell, Column, Index, RowFilter, Rows, T
from desktop.ui.kit.selection import Selection
from desktop.ui.kit.signs import chip_width, paint_chip
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.tree import CHECK_X, FIRST_X, INSET, MIDDLE, TableHead, Tree

ROW = 40
BASE_PX = 13  # of the text for which the columns' widths are meant
LEAST_NAMED = 0.6  # of a text are shown beside a chip, or there is no chip
LEAST_SHARED = 180  # for the columns without a width, before the others grow


class _Delegate(QStyledItemDelegate, Generic[T]):
    """Paints the cells of one row."""

    def __init__(self, theme: Theme, icons: Icons, table: Table[T]) -> None:
        super().__init__(table)
        self._theme, self._icons, self._table = theme, icons, table

    def sizeHint(self, _option: QStyleOptionViewItem, _index: Index) -> QSize:
        return QSize(60, ROW)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        table = self._table
        item = table.rows.item(index)
        if item is None:
            return
        column = table.columns[index.column()]
        cell, rect = column.cell(item), QRect(option.rect)
        left, last = INSET, index.column() == len(table.columns) - 1
        if index.column() == 0:
            left = FIRST_X if table.selection is not None else 15
        box = rect.adjusted(left, 0, -15 if last else -INSET, 0)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._cell(painter, cell, column, box)
        painter.restore()

    def _cell(self, painter: QPainter, cell: Cell, column: Column[T], box: QRect) -> None:
        theme = self._theme
        if cell.state is not None:
            paint_state(painter, theme, cell.state, QPointF(box.x() + 6, box.y() + box.height() / 2), 10)
            box = box.adjusted(22, 0, 0, 0)
        if cell.icon and (column is not self._table.columns[0] or self._table.selection is None):
            self._icons.paint(painter, cell.icon, "text2", QRect(box.x(), box.y(), 16, box.height()), 14)
            box = box.adjusted(24, 0, 0, 0)
        chip = chip_width(theme, cell.chip, with_glyph=False) + 10 if cell.chip else 0
        painter.setFont(theme.font("body"))
        tail = painter.fontMetrics().horizontalAdvance(cell.tail) if cell.tail else 0
        painter.setFont(theme.font(cell.role))
        metrics = painter.fontMetrics()
        if box.width() - chip - tail < LEAST_NAMED * metrics.horizontalAdvance(cell.text):
            chip = 0  # the name says more
        room = max(16, box.width() - chip - tail)
        if column.fit is not None:
            text = column.fit(cell.text, room, metrics)
        else:
            text = metrics.elidedText(cell.text, Qt.TextElideMode.ElideMiddle, room)
        painter.setPen(theme.colour(cell.tone))
        if column.right:
            painter.drawText(box, MIDDLE | Qt.AlignmentFlag.AlignRight, text)
            return
        painter.drawText(box, MIDDLE, text)
        x = box.x() + metrics.horizontalAdvance(text)
        if cell.tail:
            painter.setFont(theme.font("body"))
            painter.setPen(theme.colour("text2"))
            painter.drawText(QRect(x, box.y(), tail + 4, box.height()), MIDDLE, cell.tail)
            x += tail
        if chip:
            paint_chip(
                painter, theme, None, cell.chip, QRect(x + 10, box.y() + (box.height() - 20) // 2, chip - 10, 20)
            )


class Table(Tree, Generic[T]):
    """The table itself. With `checks` several rows can be selected by their boxes, Space and Ctrl+A.

    Signals: opened(item) by double click or Enter; current_changed(item); menu_asked(place on the screen) for
    `targets`.
    """

    opened = Signal(object)
    current_changed = Signal(object)
    menu_asked = Signal(QPoint)

    def __init__(
        self,
        theme: Theme,
        icons: Icons,
        rows: RowFilter[T],
        columns: Sequence[Column[T]],
        name: str,
        *,
        checks: bool = True,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(theme, name, parent)
        self._icons, self.rows, self.columns = icons, rows, tuple(columns)
        self.selection = Selection(rows, rows.key_of, self) if checks else None
        head = TableHead(theme, icons, self, right=lambda n: columns[n].right, selection=self.selection)
        self.take(rows, head, self.selection)
        self.setItemDelegate(_Delegate(theme, icons, self))
        self.selectionModel().currentChanged.connect(lambda index, _: self.current_changed.emit(rows.item(index)))
        self.doubleClicked.connect(lambda index: self.opened.emit(rows.item(index)))
        theme.changed.connect(self._spread)

    # what the page asks ----------------------------------------------------------------------------------------------

    def current(self) -> T | None:
        return self.rows.item(self.currentIndex())

    def targets(self) -> list[T]:
        """What a command acts on: the selected rows, else the current one."""
        if self.selection is not None and len(self.selection):
            keys = set(self.selection.keys())
            return [item for item in self.rows.items() if self._key(item) in keys]
        current = self.current()
        return [current] if current is not None else []

    def _key(self, item: T) -> str:
        source = self.rows.sourceModel()
        assert isinstance(source, Rows)
        return str(source.key(item))

    def choose(self, key: str) -> bool:
        """Make the row of `key` the current one; False: it is not shown."""
        for number in range(self.rows.rowCount()):
            index = self.rows.index(number, 0)
            if self.rows.key_of(index) == key:
                self.setCurrentIndex(index)
                self.scrollTo(index)
                return True
        return False

    # painting --------------------------------------------------------------------------------------------------------

    def drawRow(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        theme, rect = self._theme, QRect(0, option.rect.y(), self.viewport().width(), option.rect.height())
        first = self.rows.index(index.row(), 0)
        selection = self.selection
        checked = selection is not None and bool(selection.of(first))
        is_current = first == self.currentIndex().siblingAtColumn(0)
        hovered = self._hover.isValid() and first == self._hover
        token = "sel" if checked or is_current else "hover" if hovered else "surface"
        painter.fillRect(rect, theme.colour(token))
        painter.setPen(theme.pen("line"))
        painter.drawLine(rect.left(), rect.bottom(), rect.right(), rect.bottom())
        if is_current or checked:
            painter.save()
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme.brush("indicator"))
            painter.drawRoundedRect(QRectF(rect.x(), rect.y() + 7, 3, rect.height() - 14), 1.5, 1.5)
            painter.restore()
        if selection is not None and (hovered or is_current or len(selection)):
            box = QRect(CHECK_X, rect.y() + (rect.height() - 16) // 2, 16, 16)
            paint_check(painter, theme, box, selection.of(first))
        elif selection is not None and (icon := self._icon(first)):
            self._icons.paint(painter, icon, "text2", QRect(15, rect.y(), 14, rect.height()), 14)
        super().drawRow(painter, option, index)
        if is_current and self._by_keyboard and self.hasFocus():
            painter.save()
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(theme.colour("focus"), 2))
            painter.drawRoundedRect(QRectF(rect).adjusted(2, 2, -2, -3), 4, 4)
            painter.restore()

    def _icon(self, index: QModelIndex) -> str:
        """The icon of a row, which stands where its check box appears."""
        item = self.rows.item(index)
        return "" if item is None else self.columns[0].cell(item).icon

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._spread()

    def showEvent(self, event: Any) -> None:
        super().showEvent(event)
        self._spread()

    def _spread(self) -> None:
        """Give the columns without a width what the others leave. Widths grow with the text as far as there is room."""
        fixed = sum(column.width for column in self.columns)
        shares = sum(column.share for column in self.columns if not column.width)
        room = self.viewport().width()
        grown = max(1.0, min(self._theme.base_px / BASE_PX, (room - LEAST_SHARED) / max(1, fixed)))
        left = max(0, room - round(fixed * grown))
        for number, column in enumerate(self.columns):
            shared = max(80, left * column.share // max(1, shares))
            self.header().resizeSection(number, round(column.width * grown) or shared)

    # pointer and keys ------------------------------------------------------------------------------------------------

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self._by_keyboard = False
        index = self.indexAt(event.position().toPoint()).siblingAtColumn(0)
        on_check = self.selection is not None and event.position().x() < FIRST_X - 4
        if on_check and index.isValid() and event.button() == Qt.MouseButton.LeftButton:
            assert self.selection is not None  # `on_check` says so
            self.selection.toggle(index)
            return
        super().mousePressEvent(event)

    def on_menu(self, index: QModelIndex, place: QPoint) -> None:
        """On a selected row: the menu of the selection. Elsewhere: clear the selection; that row's menu."""
        if self.selection is not None and self.rows.key_of(index) not in self.selection:
            self.selection.clear()
        self.setCurrentIndex(index)
        self.menu_asked.emit(place)

    def on_enter(self, index: QModelIndex, modifiers: Qt.KeyboardModifier) -> None:
        self.opened.emit(self.rows.item(index))
