"""The containers as a tree: Compose projects with their containers, and containers without a project.

The engine's events change the model in batches. A requested action is shown as `doing` until the engine replies. All
of it runs on the GUI thread.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any

from PySide6.QtCore import QAbstractItemModel, QModelIndex, QObject, QPersistentModelIndex, Qt

from desktop.ui.feed.container import Container, Doing, Usage
from desktop.ui.kit.states import WORST_FIRST, State
from desktop.ui.kit.words import memory, percent, tr

Index = QModelIndex | QPersistentModelIndex
NodeRole = Qt.ItemDataRole.UserRole + 1
HISTORY_S = 60
GAP_S = 5  # without a sample for so long, a line of samples has a gap


class Column(IntEnum):
    NAME = 0
    IMAGE = 1
    CPU = 2
    MEMORY = 3
    PORTS = 4
    SINCE = 5


COLUMNS = len(Column)
BY_AMOUNT = (Column.CPU, Column.MEMORY)  # the largest first


@dataclass(eq=False, slots=True)
class Row:
    """One container in the tree; `version` grows with each change; the cache of painted rows uses it."""

    container: Container
    haystack: str = ""
    group: Group | None = None
    place: int = 0  # index below `group`, or among the top-level nodes
    usage: deque[tuple[float, Usage]] = field(default_factory=lambda: deque(maxlen=HISTORY_S))
    version: int = 0
    steady: int = 0  # so many samples of usage were the same as the one before

    @property
    def latest(self) -> Usage | None:
        return self.usage[-1][1] if self.usage and self.container.state is State.RUNNING else None


@dataclass(eq=False, slots=True)
class Group:
    """A Compose project in the tree."""

    serial: int
    project: str
    rows: list[Row] = field(default_factory=list)
    place: int = 0  # index among the top-level nodes

    @property
    def running(self) -> int:
        return sum(1 for row in self.rows if row.container.is_running)

    @property
    def state(self) -> State:
        states = {row.container.state for row in self.rows}
        return next((state for state in WORST_FIRST if state in states), State.STOPPED)

    @property
    def words(self) -> str:
        """The text of the chip: how many of its containers run."""
        if any(row.container.lost for row in self.rows):
            return tr("was {n} of {total} running", n=self.running, total=len(self.rows))
        return tr("{n} of {total} running", n=self.running, total=len(self.rows))

    @property
    def cpu_percent(self) -> float | None:
        return _sum(row.latest.cpu_percent for row in self.rows if row.latest)

    @property
    def memory_bytes(self) -> float | None:
        return _sum(row.latest.memory_bytes for row in self.rows if row.latest)

    @property
    def version(self) -> int:
        return sum(row.version for row in self.rows) * 1_000 + len(self.rows)


def _sum(values: Iterable[float]) -> float | None:
    found = list(values)
    return sum(found) if found else None


def _renumber(siblings: Sequence[Group | Row], first: int) -> None:
    """Set `place` of `siblings` from index `first` on."""
    for place in range(first, len(siblings)):
        siblings[place].place = place


def _runs(places: Iterable[int]) -> list[tuple[int, int]]:
    """Group `places` into ranges of consecutive numbers: first and last of each, in order."""
    runs: list[tuple[int, int]] = []
    for place in sorted(places):
        if runs and runs[-1][1] == place - 1:
            runs[-1] = runs[-1][0], place
        else:
            runs.append((place, place))
    return runs


class ContainerModel(QAbstractItemModel):
    """All containers of the engine: `put`, `drop`, `load` take data of the engine, `ask` a requested action.

    Every node stores its index below its parent, so that no list is searched. The changes of one call are emitted as
    one `dataChanged` per range of consecutive rows, for the changed columns only: views that are sorted by another
    column need not sort.
    """

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._tops: list[Group | Row] = []
        self._groups: dict[int, Group] = {}
        self._group_of_project: dict[str, Group] = {}
        self._row_of: dict[str, Row] = {}
        self._serial = 0
        self.lost_at_s: float | None = None

    # the engine's facts ----------------------------------------------------------------------------------------------

    def load(self, containers: Iterable[Container]) -> None:
        """Replace the content with `containers`; rows that remain keep their history of usage."""
        fresh = {container.id: container for container in containers}
        self.drop([known for known in self._row_of if known not in fresh])
        self.put(fresh.values())

    def put(self, containers: Iterable[Container]) -> None:
        """Add or change `containers`."""
        changes: list[tuple[Row, Container]] = []
        fresh: dict[str, Container] = {}
        for container in containers:
            row = self._row_of.get(container.id)
            if row is None:
                fresh[container.id] = container
                continue
            if container.doing is None and row.container.doing is not None:
                doing, since = row.container.doing, row.container.doing_since_s
                container = replace(container, doing=doing, doing_since_s=since)
            changes.append((row, container))
        self._change(changes)
        self._insert([Row(container, container.haystack) for container in fresh.values()])

    def drop(self, ids: Iterable[str]) -> None:
        """Remove `ids`; unknown ids are ignored, because a deletion may be reported twice."""
        going: dict[Group | None, list[Row]] = {}
        for container_id in ids:
            if (row := self._row_of.pop(container_id, None)) is not None:
                going.setdefault(row.group, []).append(row)
        tops: list[Group | Row] = [*going.pop(None, [])]
        for group, rows in going.items():
            assert group is not None
            if len(rows) == len(group.rows):
                tops.append(group)
                continue
            self._remove(group.rows, [row.place for row in rows], self.index_of(group))
            self._emit_changed([group], Column.NAME, Column.SINCE)
        self._remove(self._tops, [node.place for node in tops], QModelIndex())
        for node in tops:
            if isinstance(node, Group):
                del self._groups[node.serial]
                del self._group_of_project[node.project]

    def set_lost(self, at_s: float | None) -> None:
        """Contact was lost at `at_s` (Unix seconds): mark running containers as unknown. None: contact is back."""
        self.lost_at_s = at_s
        lost = at_s is not None
        rows = [row for row in self._row_of.values() if row.container.lost != lost or row.container.doing]
        for row in rows:
            row.container = replace(row.container, lost=lost, doing=None)
            if not row.container.is_running:
                row.usage.clear()
        self._emit_changed(rows, Column.CPU, Column.SINCE)

    def set_usage(self, usage: Mapping[str, Usage]) -> None:
        """Add one sample of usage per container id. A row whose samples were the same in all of the history that it
        shows looks as before, and does not change."""
        now, changed = time.monotonic(), []
        rows = [row for container_id in usage if (row := self._row_of.get(container_id))]
        for row in rows:
            sample = usage[row.container.id]
            at, before = row.usage[-1] if row.usage else (0.0, None)
            row.steady = row.steady + 1 if sample == before and now - at < GAP_S else 0
            row.usage.append((now, sample))
            if row.steady <= HISTORY_S:
                changed.append(row)
        self._emit_changed(changed, Column.CPU, Column.MEMORY)

    def ask(self, container_id: str, doing: Doing | None) -> None:
        """Show the requested action of a container; None once the engine has replied."""
        if row := self._row_of.get(container_id):
            since = time.time() if doing is not None else 0.0
            self._change([(row, replace(row.container, doing=doing, doing_since_s=since))])

    # what others look up ---------------------------------------------------------------------------------------------

    def container(self, container_id: str) -> Container | None:
        row = self._row_of.get(container_id)
        return row.container if row else None

    def row(self, container_id: str) -> Row | None:
        return self._row_of.get(container_id)

    def containers(self) -> list[Container]:
        return [row.container for row in self._row_of.values()]

    def rows(self) -> Iterator[Row]:
        yield from self._row_of.values()

    def siblings(self) -> Iterator[tuple[int, Sequence[Group | Row]]]:
        """The nodes without a parent and those of each project, with the internal id that their indexes have."""
        yield 0, self._tops
        for serial, group in self._groups.items():
            yield serial, group.rows

    def index_of(self, node: Group | Row) -> QModelIndex:
        """The index of a node's first column."""
        group = node.group if isinstance(node, Row) else None
        return self.createIndex(node.place, 0, group.serial if group else 0)

    def node(self, index: Index) -> Group | Row | None:
        """The node of `index`."""
        if not index.isValid():
            return None
        if serial := index.internalId():
            group = self._groups.get(serial)
            return group.rows[index.row()] if group and index.row() < len(group.rows) else None
        return self._tops[index.row()] if index.row() < len(self._tops) else None

    def node_at(self, row: int, parent: Index) -> Group | Row | None:
        """The node at `row` below `parent`, without an index: filters call this for every row."""
        if not parent.isValid():
            return self._tops[row] if row < len(self._tops) else None
        group = self._tops[parent.row()] if not parent.internalId() else None
        return group.rows[row] if isinstance(group, Group) and row < len(group.rows) else None

    # inside ----------------------------------------------------------------------------------------------------------

    def _insert(self, rows: Sequence[Row]) -> None:
        """Append `rows` to their projects, which are created if missing, or to the top level."""
        tops: list[Group | Row] = []
        new: dict[str, Group] = {}
        members: dict[int, list[Row]] = {}
        for row in rows:
            self._row_of[row.container.id] = row
            project = row.container.project
            if not project:
                tops.append(row)
            elif group := self._group_of_project.get(project):
                members.setdefault(group.serial, []).append(row)
            else:
                if (group := new.get(project)) is None:
                    self._serial += 1
                    group = new[project] = Group(self._serial, project)
                    tops.append(group)
                group.rows.append(row)
                _renumber(group.rows, len(group.rows) - 1)
            row.group = group if project else None
        for serial, joining in members.items():
            group = self._groups[serial]
            self._append(group.rows, joining, self.index_of(group))
            self._emit_changed([group], Column.NAME, Column.SINCE)
        self._groups |= {group.serial: group for group in new.values()}
        self._group_of_project |= new
        self._append(self._tops, tops, QModelIndex())

    def _append(self, siblings: list[Any], nodes: Sequence[Group | Row], parent: QModelIndex) -> None:
        if not nodes:
            return
        first = len(siblings)
        self.beginInsertRows(parent, first, first + len(nodes) - 1)
        siblings.extend(nodes)
        _renumber(siblings, first)
        self.endInsertRows()

    def _remove(self, siblings: list[Any], places: Sequence[int], parent: QModelIndex) -> None:
        for first, last in reversed(_runs(places)):
            self.beginRemoveRows(parent, first, last)
            del siblings[first : last + 1]
            _renumber(siblings, first)
            self.endRemoveRows()

    def _change(self, changes: Iterable[tuple[Row, Container]]) -> None:
        """Set new data of rows and emit the changes."""
        changed: list[Row] = []
        first = Column.CPU
        for row, container in changes:
            before = row.container
            if container == before:
                continue
            if not container.is_running:
                row.usage.clear()
            row.container = container
            if (container.name, container.image, container.ports) != (before.name, before.image, before.ports):
                row.haystack = container.haystack
                first = Column.NAME
            changed.append(row)
        self._emit_changed(changed, first, Column.SINCE)

    def _emit_changed(self, nodes: Iterable[Group | Row], first: Column, last: Column) -> None:
        """Emit that the columns `first` to `last` of `nodes` have changed, and those of the projects around them."""
        places: dict[int, set[int]] = {}
        for node in nodes:
            group = node.group if isinstance(node, Row) else None
            if isinstance(node, Row):
                node.version += 1
            if group is not None:
                places.setdefault(group.serial, set()).add(node.place)
                node = group
            places.setdefault(0, set()).add(node.place)
        for serial, found in places.items():
            for begin, end in _runs(found):
                self.dataChanged.emit(self.createIndex(begin, first, serial), self.createIndex(end, last, serial))

    # QAbstractItemModel ----------------------------------------------------------------------------------------------

    def index(self, row: int, column: int, parent: Index = QModelIndex()) -> QModelIndex:  # noqa: B008
        if row < 0 or not 0 <= column < COLUMNS:
            return QModelIndex()
        if not parent.isValid():
            return self.createIndex(row, column, 0) if row < len(self._tops) else QModelIndex()
        if parent.column() != 0 or parent.internalId():
            return QModelIndex()
        group = self._tops[parent.row()]
        if isinstance(group, Group) and row < len(group.rows):
            return self.createIndex(row, column, group.serial)
        return QModelIndex()

    def parent(self, index: Index) -> QModelIndex:  # type: ignore[override]  # QObject.parent() has the same name
        if not index.isValid() or not (serial := index.internalId()):
            return QModelIndex()
        group = self._groups.get(serial)
        return self.index_of(group) if group else QModelIndex()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        if not parent.isValid():
            return len(self._tops)
        if parent.column() != 0 or parent.internalId():
            return 0
        node = self.node(parent)
        return len(node.rows) if isinstance(node, Group) else 0

    def columnCount(self, _parent: Index = QModelIndex()) -> int:  # noqa: B008
        return COLUMNS

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> str | Qt.SortOrder | None:
        if role == Qt.ItemDataRole.InitialSortOrderRole and section in BY_AMOUNT:
            return Qt.SortOrder.DescendingOrder
        if orientation != Qt.Orientation.Horizontal or role != Qt.ItemDataRole.DisplayRole:
            return None
        return {
            Column.NAME: tr("Name"),
            Column.IMAGE: tr("Image"),
            Column.CPU: tr("CPU, last minute"),
            Column.MEMORY: tr("Memory"),
            Column.PORTS: tr("Ports"),
            Column.SINCE: tr("Uptime"),
        }[Column(section)]

    def flags(self, index: Index) -> Qt.ItemFlag:
        if not index.isValid():
            return Qt.ItemFlag.NoItemFlags
        return Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        node = self.node(index)
        if node is None:
            return None
        if role == NodeRole:
            return node
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text(node, Column(index.column()))
        if role == Qt.ItemDataRole.ToolTipRole and isinstance(node, Row):
            return self._tip(node, Column(index.column()))
        if role == Qt.ItemDataRole.AccessibleTextRole:
            if isinstance(node, Group):
                return f"{node.project}, {node.words}"
            container = node.container
            words = [container.title, container.state_word, container.image, container.note]
            return ", ".join(word for word in words if word)
        return None

    @staticmethod
    def _text(node: Group | Row, column: Column) -> str:
        if isinstance(node, Group):
            cpu, used = node.cpu_percent, node.memory_bytes
            return {
                Column.NAME: node.project,
                Column.CPU: "" if cpu is None else percent(cpu),
                Column.MEMORY: "" if used is None else memory(used),
            }.get(column, "")
        container, look = node.container, node.latest
        match column:
            case Column.NAME:
                return container.title
            case Column.IMAGE:
                return container.image
            case Column.CPU:
                return percent(look.cpu_percent) if look else container.note
            case Column.MEMORY:
                return memory(look.memory_bytes) if look else ""
            case Column.PORTS:
                return ", ".join(str(port.host_port) for port in container.ports)
            case Column.SINCE:
                return container.since(time.time())

    @staticmethod
    def _tip(row: Row, column: Column) -> str | None:
        container, look = row.container, row.latest
        match column:
            case Column.NAME:
                return f"{container.name}\n{container.id[:12]}"
            case Column.IMAGE:
                return container.image
            case Column.CPU if look:
                return tr("CPU time used in the last second, from its cgroup; 100 % is one CPU")
            case Column.MEMORY if look:
                return tr(
                    "{bytes} bytes in its cgroup, without the file cache that the kernel can drop",
                    bytes=f"{look.memory_bytes:,}",
                )
            case Column.PORTS if container.ports:
                return "\n".join(
                    tr("{where} to {port} in {name}", where=p.where, port=p.port, name=container.title)
                    for p in container.ports
                )
            case _:
                return None
