"""The images as a list, one row per name, and a filter on the rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from PySide6.QtCore import QAbstractListModel, QModelIndex, QObject, QPersistentModelIndex, QSortFilterProxyModel, Qt

from desktop.ui.feed.facts import Image
from desktop.ui.kit.words import ago, disk, short_id, tr

Index = QModelIndex | QPersistentModelIndex
ImageRole = Qt.ItemDataRole.UserRole + 1


@dataclass(frozen=True, slots=True)
class NamedImage:
    """An image under one of its names; untagged ones have none."""

    image: Image
    tag: str

    @property
    def key(self) -> str:
        return self.tag or self.image.id

    @property
    def title(self) -> tuple[str, str]:
        """The repository and the tag with its colon."""
        if not self.tag:
            return short_id(self.image.id), ""
        slash = self.tag.rfind("/")
        name, colon, tag = self.tag[slash + 1 :].partition(":")
        return self.tag[: slash + 1] + name, colon + tag

    @property
    def in_use(self) -> bool:
        return bool(self.image.used_by)

    @property
    def age(self) -> str:
        """The age of the image; empty without a creation time (reproducible builds)."""
        if self.image.created_s < 86_400:
            return tr("built in") if self.tag.startswith("cove/hello") else ""
        return ago(self.image.created_s).removesuffix(tr(" ago"))


class ImageModel(QAbstractListModel):
    """All images of the engine; `load` takes the whole list after each event that changes it."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._rows: list[NamedImage] = []
        self.images: list[Image] = []

    def load(self, images: Iterable[Image]) -> None:
        self.images = list(images)
        fresh = [NamedImage(image, tag) for image in self.images for tag in image.tags or ("",)]
        keys = {row.key for row in fresh}
        for number in range(len(self._rows) - 1, -1, -1):
            if self._rows[number].key not in keys:
                self.beginRemoveRows(QModelIndex(), number, number)
                del self._rows[number]
                self.endRemoveRows()
        places = {row.key: number for number, row in enumerate(self._rows)}
        for row in fresh:
            place = places.get(row.key)
            if place is None:
                self.beginInsertRows(QModelIndex(), len(self._rows), len(self._rows))
                self._rows.append(row)
                self.endInsertRows()
            elif self._rows[place] != row:
                self._rows[place] = row
                self.dataChanged.emit(self.index(place), self.index(place))

    def row(self, index: Index) -> NamedImage | None:
        return self._rows[index.row()] if index.isValid() and index.row() < len(self._rows) else None

    def rows(self) -> list[NamedImage]:
        return list(self._rows)

    @property
    def total_bytes(self) -> int:
        """The sum of the images' sizes in bytes; an image with several names counts once."""
        return sum(image.size for image in self.images)

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._rows)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        row = self.row(index)
        if row is None:
            return None
        if role == ImageRole:
            return row
        if role == Qt.ItemDataRole.DisplayRole:
            return row.tag or short_id(row.image.id)
        if role == Qt.ItemDataRole.ToolTipRole:
            return f"{row.tag}\n{short_id(row.image.id)}".strip()
        if role == Qt.ItemDataRole.AccessibleTextRole:
            parts = [row.tag or short_id(row.image.id), disk(row.image.size), row.age]
            parts.append(tr("in use") if row.in_use else tr("not in use"))
            return ", ".join(part for part in parts if part)
        return None


class ImageSegment(IntEnum):
    ALL = 0
    IN_USE = 1
    NOT_IN_USE = 2
    UNTAGGED = 3


def segments_of(row: NamedImage) -> set[ImageSegment]:
    found = {ImageSegment.ALL, ImageSegment.IN_USE if row.in_use else ImageSegment.NOT_IN_USE}
    return found | ({ImageSegment.UNTAGGED} if not row.tag else set())


class ImageFilter(QSortFilterProxyModel):
    """The images that match the page's filter, sorted by name."""

    def __init__(self, source: ImageModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._source = source
        self._text, self._segment = "", ImageSegment.ALL
        self.setSourceModel(source)
        self.sort(0)

    def choose(self, text: str, segment: ImageSegment) -> None:
        self.beginFilterChange()
        self._text, self._segment = text.strip().lower(), segment
        self.endFilterChange(QSortFilterProxyModel.Direction.Rows)

    def filterAcceptsRow(self, source_row: int, _parent: Index) -> bool:
        row = self._source.row(self._source.index(source_row))
        if row is None or self._segment not in segments_of(row):
            return False
        return self._text in f"{row.tag} {row.image.id}".lower()

    def lessThan(self, left: Index, right: Index) -> bool:
        one, other = self._source.row(left), self._source.row(right)
        if one is None or other is None:
            return False
        return (not one.tag, one.tag.lower(), one.image.id) < (not other.tag, other.tag.lower(), other.image.id)

    def row(self, index: Index) -> NamedImage | None:
        return self._source.row(self.mapToSource(index))
