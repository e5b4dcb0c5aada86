"""The selected containers: only rows that match the filter. All commands act on this one set."""

from __future__ import annotations

from PySide6.QtCore import QModelIndex, QObject, Signal

from desktop.ui.containers.filter import ContainerFilter
from desktop.ui.containers.model import Group, Row
from desktop.ui.feed.facts import Container

NONE, SOME, ALL = 0, 1, 2  # how much of a project, or of all rows, is selected


class Selection(QObject):
    """The selected rows of `rows`, by container id. A row that is hidden by the filter or removed is deselected.

    Containers of a collapsed project stay selected: the project's row is visible and shows that.
    Signals: changed().
    """

    changed = Signal()

    def __init__(self, rows: ContainerFilter, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._rows = rows
        self._ids: set[str] = set()
        rows.rowsAboutToBeRemoved.connect(self._on_rows_going)
        rows.modelReset.connect(self.clear)

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, container_id: object) -> bool:
        return container_id in self._ids

    def containers(self) -> list[Container]:
        """The selected containers, in the order of the rows."""
        if not self._ids:
            return []
        return [row.container for row in self._rows.rows() if row.container.id in self._ids]

    def of(self, node: Group | Row) -> int:
        """How much of `node` is selected: NONE, SOME (of a project's filtered rows) or ALL."""
        if isinstance(node, Row):
            return ALL if node.container.id in self._ids else NONE
        return self._share(self._rows.rows_of(node)) if self._ids else NONE

    @property
    def of_all(self) -> int:
        """How much of all rows is selected: NONE, SOME or ALL."""
        return self._share(list(self._rows.rows())) if self._ids else NONE

    def _share(self, rows: list[Row]) -> int:
        count = sum(row.container.id in self._ids for row in rows)
        return NONE if not count else ALL if count == len(rows) else SOME

    def toggle(self, node: Group | Row) -> None:
        """Select `node` (for a project, its rows that match the filter); if it is fully selected, deselect it."""
        on = self.of(node) != ALL
        self._set([node] if isinstance(node, Row) else self._rows.rows_of(node), on)

    def toggle_all(self) -> None:
        """Select all rows that match the filter, or none if all are selected."""
        if self.of_all == ALL:
            self.clear()
        else:
            self.select_all()

    def select_all(self) -> None:
        """Select all rows that match the filter."""
        self._set(list(self._rows.rows()), True)

    def clear(self) -> None:
        if self._ids:
            self._ids.clear()
            self.changed.emit()

    def _set(self, rows: list[Row], on: bool) -> None:
        ids = {row.container.id for row in rows}
        after = self._ids | ids if on else self._ids - ids
        if after != self._ids:
            self._ids = after
            self.changed.emit()

    def _on_rows_going(self, parent: QModelIndex, first: int, last: int) -> None:
        nodes = [self._rows.node(self._rows.index(number, 0, parent)) for number in range(first, last + 1)]
        going: set[str] = set()
        for node in nodes:
            members = node.rows if isinstance(node, Group) else [node] if node is not None else []
            going.update(row.container.id for row in members)
        if going & self._ids:
            self._ids -= going
            self.changed.emit()
