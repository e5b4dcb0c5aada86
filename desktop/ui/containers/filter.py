"""Which containers of the tree are shown, and in which order."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from enum import IntEnum

from PySide6.QtCore import QObject, QSortFilterProxyModel, Qt

from desktop.ui.containers.model import BY_AMOUNT, Column, ContainerModel, Group, Index, Row
from desktop.ui.feed.container import Container
from desktop.ui.kit.states import State
from desktop.ui.kit.words import natural


class Segment(IntEnum):
    ALL = 0
    RUNNING = 1
    PAUSED = 2
    STOPPED = 3
    PROBLEMS = 4


def segment_of(container: Container) -> Segment:
    """The filter segment of a container, other than All."""
    match container.state:
        case State.PROBLEM:
            return Segment.PROBLEMS
        case State.PAUSED:
            return Segment.PAUSED
        case State.STOPPED | State.DONE:
            return Segment.STOPPED
        case _:
            return Segment.RUNNING


Name = tuple[tuple[int, int, str], ...]


class ContainerFilter(QSortFilterProxyModel):
    """The rows that match the page's filter, sorted by the chosen column. Projects come first, except where an amount
    decides: there a project has the sum of its containers."""

    def __init__(self, source: ContainerModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._source = source
        self._text, self._segment = "", Segment.ALL
        self._ranks: dict[int, list[int]] | None = None  # while `sort` runs
        self.setSourceModel(source)
        self.setDynamicSortFilter(True)
        self.sort(Column.NAME, Qt.SortOrder.AscendingOrder)

    def choose(self, text: str, segment: Segment) -> None:
        self.beginFilterChange()
        self._text, self._segment = text.strip().lower(), segment
        self.endFilterChange(QSortFilterProxyModel.Direction.Rows)  # the order stays: no new sort

    def rows(self) -> Iterator[Row]:
        """The containers that match the filter, in order; those of collapsed projects too."""
        for number in range(self.rowCount()):
            node = self.node(self.index(number, 0))
            if isinstance(node, Group):
                yield from self.rows_of(node)
            elif node is not None:
                yield node

    def containers(self, ids: Collection[str]) -> list[Container]:
        """The containers among `ids` that match the filter, in order."""
        return [row.container for row in self.rows() if row.container.id in ids]

    def rows_of(self, group: Group) -> list[Row]:
        """The rows of a project that match the filter, in order."""
        parent = self.mapFromSource(self._source.index_of(group))
        nodes = (self.node(self.index(number, 0, parent)) for number in range(self.rowCount(parent)))
        return [node for node in nodes if isinstance(node, Row)] if parent.isValid() else []

    def _accepts(self, row: Row) -> bool:
        if self._segment is not Segment.ALL and segment_of(row.container) is not self._segment:
            return False
        return self._text in row.haystack

    def filterAcceptsRow(self, source_row: int, source_parent: Index) -> bool:
        node = self._source.node_at(source_row, source_parent)
        if isinstance(node, Group):
            return any(self._accepts(row) for row in node.rows)
        return node is not None and self._accepts(node)

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        self._ranks = self._ranked(Column(column), is_ascending=order == Qt.SortOrder.AscendingOrder)
        try:
            super().sort(column, order)
        finally:
            self._ranks = None

    def _ranked(self, column: Column, *, is_ascending: bool) -> dict[int, list[int]]:
        """The rank of each node by its index's internal id and row: a sort compares each node with many others."""
        ranks = {}
        for serial, nodes in self._source.siblings():
            keys = [_place(node, column, is_ascending=is_ascending) for node in nodes]
            by_key = {one: rank for rank, one in enumerate(sorted(set(keys)))}
            ranks[serial] = [by_key[one] for one in keys]
        return ranks

    def lessThan(self, left: Index, right: Index) -> bool:
        if self._ranks is not None:
            ranks = self._ranks[left.internalId()]
            return ranks[left.row()] < ranks[right.row()]
        one, other = self._source.node(left), self._source.node(right)
        if one is None or other is None:
            return False
        column, is_ascending = Column(left.column()), self.sortOrder() == Qt.SortOrder.AscendingOrder
        return _place(one, column, is_ascending=is_ascending) < _place(other, column, is_ascending=is_ascending)

    def key_of(self, index: Index) -> str:
        """The id of the container at `index`; empty for a project."""
        node = self.node(index)
        return node.container.id if isinstance(node, Row) else ""

    def node(self, index: Index) -> Group | Row | None:
        return self._source.node(self.mapToSource(index))


def _place(node: Group | Row, column: Column, *, is_ascending: bool) -> tuple[bool, float, Name, Name]:
    """The sort key of a node. A descending sort turns the order of the keys around, and projects stay on top in it."""
    is_high = column not in BY_AMOUNT and isinstance(node, Group) != is_ascending
    return (is_high, *_said(node, column))


def _said(node: Group | Row, column: Column) -> tuple[float, Name, Name]:
    """The column's figure or text of the node, and its name, by which equal ones sort."""
    name = natural(node.project if isinstance(node, Group) else node.container.title)
    if isinstance(node, Group):
        number = {Column.CPU: node.cpu_percent or 0.0, Column.MEMORY: node.memory_bytes or 0.0}.get(column, 0.0)
        return number, (), name
    container, look = node.container, node.latest
    match column:
        case Column.CPU:
            return (look.cpu_percent if look else -1.0), (), name
        case Column.MEMORY:
            return (float(look.memory_bytes) if look else -1.0), (), name
        case Column.SINCE:
            return -(container.started_s or container.created_s), (), name
        case Column.PORTS:
            return float(container.ports[0].host_port if container.ports else 1 << 17), (), name
        case Column.IMAGE:
            return 0.0, natural(container.image), name
        case _:
            return 0.0, (), name
