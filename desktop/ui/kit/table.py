"""A table of things whose columns are data: its rows, its filter, its head, and how a row is painted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from PySide6.QtCore import (
    QAbstractTableModel,
    QEvent,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QPoint,
    QPointF,
    QRect,
    QRectF,
    QSize,
    QSortFilterProxyModel,
    Qt,
    Signal,
)
from PySide6.QtGui import (
    QContextMenuEvent,
    QFocusEvent,
    QFontMetrics,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QResizeEvent,
)
from PySide6.QtWidgets import QHeaderView, QStyledItemDelegate, QStyleOptionViewItem, QTreeView, QWidget

from desktop.ui.kit.buttons import KEYBOARD_REASONS, paint_check
from desktop.ui.kit.glyphs import paint_state
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.selection import Selection
from desktop.ui.kit.signs import chip_width, paint_chip
from desktop.ui.kit.states import State
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.words import natural, tr

T = TypeVar("T")
Index = QModelIndex | QPersistentModelIndex
ItemRole = Qt.ItemDataRole.UserRole + 1
HEAD = 35
ROW = 40
CHECK_X, FIRST_X = 11, 39
INSET = 8  # from a column's edge to its text
MIDDLE = Qt.AlignmentFlag.AlignVCenter


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What one cell shows. `tail` follows the text and is never cut; `chip` is a neutral chip behind it."""

    text: str
    tail: str = ""
    chip: str = ""
    icon: str = ""
    state: State | None = None
    role: str = "small"
    tone: str = "text2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column(Generic[T]):
    """One column. `width` 0 takes what the others leave, by `share`. `order` is the sort key, by default the text."""

    title: str
    cell: Callable[[T], Cell]
    order: Callable[[T], Any] | None = None
    width: int = 0
    share: int = 1
    right: bool = False
    descends: bool = False  # the first click on its head puts the largest on top
    fit: Callable[[str, int, QFontMetrics], str] | None = None  # shortens the text; by default its middle goes
    tip: Callable[[T], str] | None = None

    def key(self, item: T) -> Any:
        cell = self.cell(item)
        return natural(cell.text + cell.tail) if self.order is None else self.order(item)


@dataclass(frozen=True, slots=True)
class Segment(Generic[T]):
    """One choice of the filter."""

    title: str
    accepts: Callable[[T], bool]


class Rows(QAbstractTableModel, Generic[T]):
    """Things by key, in the order they came; `load` takes all of them and changes what differs."""

    def __init__(
        self,
        columns: Sequence[Column[T]],
        key: Callable[[T], str],
        haystack: Callable[[T], str],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self.columns, self.key = tuple(columns), key
        self._haystack_of = haystack
        self._items: list[T] = []
        self._haystacks: list[str] = []

    def load(self, items: Iterable[T]) -> None:
        fresh = {self.key(item): item for item in items}
        for number in range(len(self._items) - 1, -1, -1):
            if self.key(self._items[number]) not in fresh:
                self.beginRemoveRows(QModelIndex(), number, number)
                del self._items[number], self._haystacks[number]
                self.endRemoveRows()
        places = {self.key(item): number for number, item in enumerate(self._items)}
        for key, number in places.items():
            if self._items[number] != fresh[key]:
                self._items[number] = fresh[key]
                self._haystacks[number] = self._haystack_of(fresh[key]).lower()
                self.dataChanged.emit(self.index(number, 0), self.index(number, len(self.columns) - 1))
        added = [item for key, item in fresh.items() if key not in places]
        if added:
            self.beginInsertRows(QModelIndex(), len(self._items), len(self._items) + len(added) - 1)
            self._items += added
            self._haystacks += [self._haystack_of(item).lower() for item in added]
            self.endInsertRows()

    def items(self) -> list[T]:
        return list(self._items)

    def item(self, row: int) -> T | None:
        return self._items[row] if 0 <= row < len(self._items) else None

    def haystack(self, row: int) -> str:
        return self._haystacks[row]

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._items)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self.columns)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> str | Qt.SortOrder | None:
        if section >= len(self.columns) or orientation != Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.InitialSortOrderRole and self.columns[section].descends:
            return Qt.SortOrder.DescendingOrder
        return self.columns[section].title if role == Qt.ItemDataRole.DisplayRole else None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        item = self.item(index.row()) if index.isValid() else None
        if item is None:
            return None
        column = self.columns[index.column()]
        if role == ItemRole:
            return item
        if role == Qt.ItemDataRole.DisplayRole:
            cell = column.cell(item)
            return cell.text + cell.tail
        if role == Qt.ItemDataRole.ToolTipRole and column.tip is not None:
            return column.tip(item)
        if role == Qt.ItemDataRole.AccessibleTextRole:
            cells = [each.cell(item) for each in self.columns]
            words = [word for c in cells for word in (c.text + c.tail, c.chip)]
            return ", ".join(word for word in words if word)
        return None


class RowFilter(QSortFilterProxyModel, Generic[T]):
    """The rows that match text and segment, sorted by a column; names sort as people count: svc-2 before svc-10."""

    def __init__(self, rows: Rows[T], segments: Sequence[Segment[T]], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._source, self.segments = rows, tuple(segments)
        self._text, self._segment = "", 0
        self.setSourceModel(rows)
        self.sort(0)

    def choose(self, text: str, segment: int) -> None:
        self.beginFilterChange()
        self._text, self._segment = text.strip().lower(), segment
        self.endFilterChange(QSortFilterProxyModel.Direction.Rows)

    def filterAcceptsRow(self, source_row: int, _parent: Index) -> bool:
        item = self._source.item(source_row)
        if item is None or not self.segments[self._segment].accepts(item):
            return False
        return self._text in self._source.haystack(source_row)

    def lessThan(self, left: Index, right: Index) -> bool:
        one, other = self._source.item(left.row()), self._source.item(right.row())
        if one is None or other is None:
            return False
        column = self._source.columns[left.column()]
        return bool(column.key(one) < column.key(other))

    def item(self, index: Index) -> T | None:
        source = self.mapToSource(index)
        return self._source.item(source.row()) if source.isValid() else None

    def key_of(self, index: Index) -> str:
        item = self.item(index)
        return "" if item is None else self._source.key(item)

    def items(self) -> list[T]:
        """The matching rows, in order."""
        found = (self.item(self.index(number, 0)) for number in range(self.rowCount()))
        return [item for item in found if item is not None]


class TableHead(QHeaderView):
    """Column heads aligned with the cells, with sort caret and, given a selection, the check box for all rows."""

    def __init__(
        self,
        theme: Theme,
        icons: Icons,
        table: QTreeView,
        *,
        right: Callable[[int], bool],
        selection: Selection | None = None,
    ) -> None:
        super().__init__(Qt.Orientation.Horizontal, table)
        self._theme, self._icons, self._right, self._selection = theme, icons, right, selection
        self.setSectionsClickable(True)
        self.setSectionsMovable(False)
        self.setSortIndicatorShown(True)
        self.setHighlightSections(False)
        self.setStretchLastSection(False)
        self.setMinimumSectionSize(48)
        self.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.setAccessibleName(tr("Columns"))
        theme.changed.connect(self.viewport().update)

    def sizeHint(self) -> QSize:
        return QSize(super().sizeHint().width(), HEAD)

    def paintSection(self, painter: QPainter, rect: QRect, section: int) -> None:
        theme = self._theme
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(rect, theme.colour("surface"))
        left = INSET if section else 15
        if section == 0 and self._selection is not None:
            left = FIRST_X
            box = QRect(rect.x() + CHECK_X, (rect.height() - 16) // 2, 16, 16)
            paint_check(painter, theme, box, self._selection.of_all)
        sorted_by = self.sortIndicatorSection() == section
        painter.setFont(theme.font("smallname"))
        painter.setPen(theme.colour("text" if sorted_by else "text2"))
        text = str(self.model().headerData(section, Qt.Orientation.Horizontal))
        right = self._right(section)
        box = rect.adjusted(0, 0, -15 if section == self.count() - 1 else -INSET, 0) if right else rect
        box = box if right else box.adjusted(left, 0, -INSET, 0)
        painter.drawText(box, MIDDLE | Qt.AlignmentFlag.AlignRight if right else MIDDLE, text)
        if sorted_by:
            width = painter.fontMetrics().horizontalAdvance(text)
            x = box.right() - width - 17 if right else box.x() + width + 5
            up = self.sortIndicatorOrder() == Qt.SortOrder.AscendingOrder
            self._icons.paint(painter, "caret-up" if up else "caret-down", "text2", QRect(x, 0, 12, rect.height()), 12)
        painter.setPen(theme.pen("line"))
        painter.drawLine(rect.left(), rect.bottom(), rect.right() + 1, rect.bottom())
        painter.restore()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if self._selection is not None and event.position().x() < FIRST_X - 4:
            self._selection.toggle_all()
            return
        super().mousePressEvent(event)


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
        if cell.chip:
            paint_chip(
                painter, theme, None, cell.chip, QRect(x + 10, box.y() + (box.height() - 20) // 2, chip - 10, 20)
            )


class Table(QTreeView, Generic[T]):
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
        super().__init__(parent)
        self._theme, self._icons, self.rows, self.columns = theme, icons, rows, tuple(columns)
        self.selection = Selection(rows, rows.key_of, self) if checks else None
        self._hover = QModelIndex()
        self._by_keyboard = False
        self.setProperty("kind", "plain")
        self.setModel(rows)
        self.setHeader(TableHead(theme, icons, self, right=lambda n: columns[n].right, selection=self.selection))
        self.header().setSortIndicator(0, Qt.SortOrder.AscendingOrder)
        self.setSortingEnabled(True)
        self.setItemDelegate(_Delegate(theme, icons, self))
        self.setUniformRowHeights(True)
        self.setRootIsDecorated(False)
        self.setIndentation(0)
        self.setVerticalScrollMode(QTreeView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSelectionMode(QTreeView.SelectionMode.SingleSelection)
        self.setEditTriggers(QTreeView.EditTrigger.NoEditTriggers)
        self.setMouseTracking(True)
        self.setAllColumnsShowFocus(True)
        self.setAccessibleName(name)
        self.selectionModel().currentChanged.connect(lambda index, _: self.current_changed.emit(rows.item(index)))
        self.doubleClicked.connect(lambda index: self.opened.emit(rows.item(index)))
        theme.changed.connect(self.viewport().update)
        if self.selection is not None:
            self.selection.changed.connect(self._on_selection)

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

    def _on_selection(self) -> None:
        self.viewport().update()
        self.header().viewport().update()

    # painting --------------------------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self.viewport())
        painter.fillRect(event.rect(), self._theme.colour("surface"))
        painter.end()
        super().paintEvent(event)

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

    def drawBranches(self, painter: QPainter, rect: QRect, index: Index) -> None:
        """Draw nothing: the rows have no children."""

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._spread()

    def showEvent(self, event: Any) -> None:
        super().showEvent(event)
        self._spread()

    def _spread(self) -> None:
        """Give the columns without a width what the others leave."""
        fixed = sum(column.width for column in self.columns)
        shares = sum(column.share for column in self.columns if not column.width)
        left = max(0, self.viewport().width() - fixed)
        for number, column in enumerate(self.columns):
            self.header().resizeSection(number, column.width or max(80, left * column.share // max(1, shares)))

    # pointer and keys ------------------------------------------------------------------------------------------------

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        self._set_hover(self.indexAt(event.position().toPoint()).siblingAtColumn(0))
        super().mouseMoveEvent(event)

    def leaveEvent(self, event: QEvent) -> None:
        self._set_hover(QModelIndex())
        super().leaveEvent(event)

    def _set_hover(self, index: QModelIndex) -> None:
        if index != self._hover:
            self._hover = index
            self.viewport().update()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self._by_keyboard = False
        index = self.indexAt(event.position().toPoint()).siblingAtColumn(0)
        on_check = self.selection is not None and event.position().x() < FIRST_X - 4
        if on_check and index.isValid() and event.button() == Qt.MouseButton.LeftButton:
            assert self.selection is not None  # `on_check` says so
            self.selection.toggle(index)
            return
        super().mousePressEvent(event)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """On a selected row: the menu of the selection. Elsewhere: clear the selection; that row's menu."""
        by_key = event.reason() == QContextMenuEvent.Reason.Keyboard
        index = (self.currentIndex() if by_key else self.indexAt(event.pos())).siblingAtColumn(0)
        if not index.isValid():
            return
        if self.selection is not None and self.rows.key_of(index) not in self.selection:
            self.selection.clear()
        self.setCurrentIndex(index)
        place = self.visualRect(index).center() if by_key else event.pos()
        self.menu_asked.emit(self.viewport().mapToGlobal(place))

    def focusInEvent(self, event: QFocusEvent) -> None:
        self._by_keyboard = event.reason() in KEYBOARD_REASONS
        if self._by_keyboard and not self.currentIndex().isValid():
            self.setCurrentIndex(self.rows.index(0, 0))
        super().focusInEvent(event)
        self.viewport().update()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        self._by_keyboard = True
        if event.key() == Qt.Key.Key_F10 and event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            place = self.visualRect(self.currentIndex()).center()
            where = self.viewport().mapToGlobal(place)
            self.contextMenuEvent(QContextMenuEvent(QContextMenuEvent.Reason.Keyboard, place, where))
            return
        control = bool(event.modifiers() & Qt.KeyboardModifier.ControlModifier)
        item = self.current()
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and item is not None:
            self.opened.emit(item)
        elif event.key() == Qt.Key.Key_Space and self.selection is not None and item is not None:
            self.selection.toggle(self.currentIndex().siblingAtColumn(0))
        elif event.key() == Qt.Key.Key_A and control and self.selection is not None:
            self.selection.select_all()
        else:
            super().keyPressEvent(event)
        self.viewport().update()
