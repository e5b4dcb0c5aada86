"""The selected rows: only rows that match the filter. All commands act on this one set."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from PySide6.QtCore import QModelIndex, QObject, QPersistentModelIndex, QSortFilterProxyModel, Signal

Index = QModelIndex | QPersistentModelIndex
NONE, SOME, ALL = 0, 1, 2  # how much of a group, or of all rows, is selected


class Selection(QObject):
    """The selected rows of `rows`, by key. A row that is hidden by the filter or removed is deselected.

    `key_of(index)` is a row's key; an empty one makes it a group, whose rows are below it. Rows of a collapsed group
    stay selected: the group's row is visible and shows that. Signals: changed().
    """

    changed = Signal()

    def __init__(
        self, rows: QSortFilterProxyModel, key_of: Callable[[Index], str], parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._rows, self._key_of = rows, key_of
        self._keys: set[str] = set()
        rows.rowsAboutToBeRemoved.connect(self._on_rows_going)
        rows.modelReset.connect(self.clear)

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def keys(self) -> list[str]:
        """The selected keys, in the order of the rows."""
        return [key for key in self._keys_below(QModelIndex()) if key in self._keys] if self._keys else []

    def of(self, index: Index) -> int:
        """How much of the row at `index` is selected: NONE, SOME (of a group's filtered rows) or ALL."""
        if not self._keys:
            return NONE
        if key := self._key_of(index):
            return ALL if key in self._keys else NONE
        return self._share(list(self._keys_below(index)))

    @property
    def of_all(self) -> int:
        """How much of all rows is selected: NONE, SOME or ALL."""
        return self._share(list(self._keys_below(QModelIndex()))) if self._keys else NONE

    def _keys_below(self, parent: Index) -> Iterator[str]:
        for number in range(self._rows.rowCount(parent)):
            index = self._rows.index(number, 0, parent)
            if key := self._key_of(index):
                yield key
            else:
                yield from self._keys_below(index)

    def _share(self, keys: list[str]) -> int:
        count = sum(key in self._keys for key in keys)
        return NONE if not count else ALL if count == len(keys) else SOME

    def toggle(self, index: Index) -> None:
        """Select the row at `index` (of a group, its rows that match the filter); deselect it if it all is selected."""
        key = self._key_of(index)
        self._set([key] if key else list(self._keys_below(index)), self.of(index) != ALL)

    def toggle_all(self) -> None:
        """Select all rows that match the filter, or none if all are selected."""
        if self.of_all == ALL:
            self.clear()
        else:
            self.select_all()

    def select_all(self) -> None:
        """Select all rows that match the filter."""
        self._set(list(self._keys_below(QModelIndex())), True)

    def clear(self) -> None:
        if self._keys:
            self._keys.clear()
            self.changed.emit()

    def _set(self, keys: list[str], on: bool) -> None:
        after = self._keys.union(keys) if on else self._keys.difference(keys)
        if after != self._keys:
            self._keys = after
            self.changed.emit()

    def _on_rows_going(self, parent: QModelIndex, first: int, last: int) -> None:
        going: set[str] = set()
        for number in range(first, last + 1):
            index = self._rows.index(number, 0, parent)
            key = self._key_of(index)
            going.update([key] if key else self._keys_below(index))
        if going & self._keys:
            self._keys -= going
            self.changed.emit()
