"""The layers of a pull or push: as rows, and their progress on its way from a worker's thread to the window."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from PySide6.QtCore import (
    QAbstractListModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    Qt,
    QTimer,
)

from desktop.client.engine import PullProgress
from desktop.ui.feed.workers import Workers
from desktop.ui.kit.words import counted, part_of, tr

Index = QModelIndex | QPersistentModelIndex
FLUSH_MS = 33
LayerRole = Qt.ItemDataRole.UserRole + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One layer of a pull or push. `phase` is the engine's word: Downloading, Pull complete, Pushing, Pushed…"""

    id: str
    phase: str
    done: int = 0
    total: int = 0
    size: int = 0
    began_s: float = 0.0
    ended_s: float = 0.0

    @property
    def loaded(self) -> int:
        """Its bytes that have been downloaded or sent."""
        if self.is_moving:
            return self.done
        return self.size if self.is_unpacking or self.is_moved else 0

    @property
    def is_here(self) -> bool:
        """Nothing had to be moved: this computer, or the registry, had it."""
        return self.phase in ("Already exists", "Layer already exists") or self.phase.startswith("Mounted from ")

    @property
    def is_moving(self) -> bool:
        return self.phase in ("Downloading", "Pushing")

    @property
    def is_moved(self) -> bool:
        return self.phase in ("Pull complete", "Pushed")

    @property
    def is_done(self) -> bool:
        return self.is_moved or self.is_here

    @property
    def is_unpacking(self) -> bool:
        return self.phase in ("Extracting", "Verifying Checksum", "Download complete")

    @property
    def word(self) -> str:
        return {
            "Downloading": tr("Downloading"),
            "Extracting": tr("Unpacking"),
            "Verifying Checksum": tr("Checking"),
            "Download complete": tr("Downloaded"),
            "Pull complete": tr("Done"),
            "Already exists": tr("Already here"),
            "Pushing": tr("Sending"),
            "Pushed": tr("Done"),
        }.get(self.phase, tr("Waiting"))


class LayerModel(QAbstractListModel):
    """The layers of one pull or push, in the manifest's order; layers that were already present share one row.

    `is_push`: they go to a registry, which may have some of them.
    """

    def __init__(self, parent: QObject | None = None, *, is_push: bool = False) -> None:
        super().__init__(parent)
        self._is_push = is_push
        self.layers: dict[str, Layer] = {}
        self._rows: list[str] = []
        self.here = 0

    def take(self, lines: Sequence[PullProgress]) -> None:
        """Add the progress messages that the engine sent since the last call."""
        now = time.monotonic()
        changed = False
        for line in lines:
            if not line.id or line.status.startswith(("Pulling from", "Digest", "Status")):
                continue
            known = self.layers.get(line.id)
            layer = known or Layer(id=line.id, phase="", began_s=now)
            total = line.total or (layer.total if line.status == layer.phase else 0)
            layer = replace(layer, phase=line.status, done=line.current, total=total)
            size = line.size or (line.total if layer.is_moving and line.total else layer.size)
            layer = replace(layer, size=size)
            if layer.is_done and not layer.ended_s:
                layer = replace(layer, ended_s=now)
            self.layers[line.id] = layer
            changed = True
        if changed:
            self._arrange()

    def _arrange(self) -> None:
        rows = [layer.id for layer in self.layers.values() if not layer.is_here]
        here = len(self.layers) - len(rows)
        rows = (["here"] if here else []) + rows
        if rows != self._rows:
            self.beginResetModel()
            self._rows, self.here = rows, here
            self.endResetModel()
        else:
            self.here = here
            self.dataChanged.emit(self.index(0), self.index(len(rows) - 1))

    @property
    def first_busy(self) -> int:
        """The row of the first unfinished layer; -1 if all are done."""
        return next((n for n, key in enumerate(self._rows) if key in self.layers and not self.layers[key].is_done), -1)

    @property
    def fraction(self) -> tuple[int, int]:
        """Moved bytes and total bytes; 0 in total as long as the size of a missing layer is unknown."""
        missing = [layer for layer in self.layers.values() if not layer.is_here]
        if not all(layer.size for layer in missing):
            return self.loaded_bytes, 0
        return self.loaded_bytes, sum(layer.size for layer in missing)

    @property
    def loaded_bytes(self) -> int:
        """What has been downloaded, or sent, of all layers."""
        return sum(layer.loaded for layer in self.layers.values())

    @property
    def summary(self) -> str:
        count = len(self.layers)
        text = counted(count, "{n} layer", "{n} layers") if count else ""
        if not self.here:
            return text
        if self._is_push:
            return tr("{layers}, {n} already there", layers=text, n=self.here)
        return tr("{layers}, {n} already here", layers=text, n=self.here)

    @property
    def here_word(self) -> str:
        return tr("Already there") if self._is_push else tr("Already here")

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._rows)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if not index.isValid():
            return None
        key = self._rows[index.row()]
        layer = self.layers.get(key)
        if role == LayerRole:
            return layer
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            if layer is None:
                if self._is_push:
                    return counted(self.here, "{n} layer already there", "{n} layers already there")
                return counted(self.here, "{n} layer already here", "{n} layers already here")
            progress = part_of(layer.done, layer.total) if layer.total and not layer.is_done else ""
            return ", ".join(part for part in (layer.id[:8], layer.word, progress) if part)
        return None


class LayerLines:
    """Lines of progress that a worker's thread `put`s, in batches for the GUI thread.

    `ready` is called there at most once in `FLUSH_MS`, when `take` has new lines.
    """

    def __init__(self, workers: Workers, ready: Callable[[], None]) -> None:
        self._workers, self._ready = workers, ready
        self._lock = threading.Lock()
        self._lines: list[PullProgress] = []
        self._told = False

    def put(self, line: PullProgress) -> None:
        with self._lock:
            self._lines.append(line)
            told, self._told = self._told, True
        if not told:
            self._workers.here(lambda: QTimer.singleShot(FLUSH_MS, self._ready))

    def take(self) -> list[PullProgress]:
        """The lines since the last call."""
        with self._lock:
            lines, self._lines, self._told = self._lines, [], False
        return lines
