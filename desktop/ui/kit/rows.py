"""Things as rows of a table whose columns are data: the rows, and which of them are shown, in which order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from PySide6.QtCore import (
    QAbstractTableModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QSortFilterProxyModel,
    Qt,
)
from PySide6.QtGui import (
    QFontMetrics,
)

from desktop.ui.kit.states import State
from desktop.ui.kit.words import natural

T = TypeVar("T")
Index = QModelIndex | QPersistentModelIndex
ItemRole = Qt.ItemDataRole.UserRole + 1


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

    def replace(self, items: Iterable[T]) -> None:
        """Take other things in place of all, at once: their rows have nothing in common with those before."""
        self.beginResetModel()
        self._items = list(items)
        self._haystacks = [self._haystack_of(item).lower() for item in self._items]
        self.endResetModel()

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
