"""One run of an image: its five steps, its layers, its result. Requests run in workers, all else on the GUI thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median

from PySide6.QtCore import (
    QAbstractListModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QSettings,
    Qt,
    QTimer,
)

from desktop.client.engine import PullProgress
from desktop.client.run import STEP_NAMES, Cancelled, Created, Pipeline, RunOptions, Started, Step, StepState
from desktop.ui.feed.session import EngineSession
from desktop.ui.kit.tasks import Task
from desktop.ui.kit.toasts import Message
from desktop.ui.kit.words import counted, part_of, tr
from desktop.ui.run.options import RunWish

KEPT_RUNS = 20
Index = QModelIndex | QPersistentModelIndex
LayerRole = Qt.ItemDataRole.UserRole + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One layer of a pull. `phase` is the engine's word: Downloading, Extracting, Pull complete…"""

    id: str
    phase: str
    done: int = 0
    total: int = 0
    size: int = 0
    began_s: float = 0.0
    ended_s: float = 0.0

    @property
    def loaded(self) -> int:
        """Its downloaded bytes."""
        if self.phase == "Downloading":
            return self.done
        return self.size if self.is_unpacking or self.phase == "Pull complete" else 0

    @property
    def is_here(self) -> bool:
        return self.phase == "Already exists"

    @property
    def is_done(self) -> bool:
        return self.phase in ("Pull complete", "Already exists")

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
        }.get(self.phase, tr("Waiting"))


class LayerModel(QAbstractListModel):
    """The layers of one pull, in the manifest's order; layers that were already present share one row."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
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
            size = line.size or (line.total if line.status == "Downloading" and line.total else layer.size)
            layer = replace(layer, phase=line.status, done=line.current, total=total, size=size)
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
        """Downloaded bytes and total bytes; 0 in total as long as the size of a missing layer is unknown."""
        missing = [layer for layer in self.layers.values() if not layer.is_here]
        if not all(layer.size for layer in missing):
            return self.loaded_bytes, 0
        return self.loaded_bytes, sum(layer.size for layer in missing)

    @property
    def loaded_bytes(self) -> int:
        """What has been downloaded of all layers."""
        return sum(layer.loaded for layer in self.layers.values())

    @property
    def summary(self) -> str:
        count = len(self.layers)
        text = counted(count, "{n} layer", "{n} layers") if count else ""
        return tr("{layers}, {n} already here", layers=text, n=self.here) if self.here else text

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
                return counted(self.here, "{n} layer already here", "{n} layers already here")
            progress = part_of(layer.done, layer.total) if layer.total and not layer.is_done else ""
            return ", ".join(part for part in (layer.id[:8], layer.word, progress) if part)
        return None


class UsualTimes:
    """How long each step usually takes: the median of the last 20 runs on this computer."""

    def __init__(self, settings: QSettings) -> None:
        self._settings = settings

    def of(self, step: str) -> float | None:
        """Milliseconds, or None before the first run."""
        known = self._known(step)
        return median(known) if known else None

    def add(self, steps: Sequence[Step]) -> None:
        for step in steps:
            if step.state is StepState.DONE and step.name != "pull":
                kept = [*self._known(step.name), step.ms][-KEPT_RUNS:]
                self._settings.setValue(f"usual/{step.name}", ",".join(f"{ms:.2f}" for ms in kept))

    def _known(self, step: str) -> list[float]:
        text = self._settings.value(f"usual/{step}", "")
        if isinstance(text, list):
            text = ",".join(str(part) for part in text)
        return [float(part) for part in str(text).split(",") if part]


class Run(Task):
    """One image on its way to a running container.

    Signals: changed() at each step and each batch of layers; ended() when it runs, failed or was cancelled.
    """

    def __init__(
        self,
        session: EngineSession,
        wish: RunWish,
        usual: UsualTimes,
        shown: Callable[[Run], None],
        reported: Callable[[Run], Message | None],
        parent: QObject | None = None,
    ) -> None:
        """`shown`: the user asks for its page; `reported`: the message at its end."""
        super().__init__(parent)
        self._session, self.wish, self.usual = session, wish, usual
        self._shown, self._reported = shown, reported
        self.steps: dict[str, Step] = {}
        self.step_began: dict[str, float] = {}
        self.layers = LayerModel(self)
        self.container_id = ""
        self.error: Exception | None = None
        self.key = f"run-{id(self):x}-{time.monotonic_ns():x}"
        self._lock = threading.Lock()
        self._lines: list[PullProgress] = []
        self._told = False
        self._pipeline: Pipeline | None = None

    @property
    def is_running(self) -> bool:
        return not self.is_over

    @property
    def failed_step(self) -> Step | None:
        return next((step for step in self.steps.values() if step.state is StepState.FAILED), None)

    @property
    def current(self) -> str:
        """The running step, else the last one that has started."""
        for name in STEP_NAMES:
            if (step := self.steps.get(name)) and step.state is StepState.RUNNING:
                return name
        return next((name for name in reversed(STEP_NAMES) if name in self.steps), STEP_NAMES[0])

    @property
    def title(self) -> str:
        if self.current == "pull":
            return tr("Pulling {image}", image=self.wish.image)
        return tr("Running {image}", image=self.wish.image)

    @property
    def fraction(self) -> float | None:
        """The downloaded part of the pull, 0 to 1; None if the total is unknown, or in another step."""
        done, total = self.layers.fraction
        return done / total if total and self.current == "pull" else None

    def show(self) -> None:
        self._shown(self)

    def report(self) -> Message | None:
        return self._reported(self)

    def start(self) -> None:
        """Start the run. Raises BadOption before any request is sent."""
        config = self.wish.config()
        options = RunOptions(image=self.wish.image.strip(), config=config, name=self.wish.name or None)
        pipeline = Pipeline(self._session.client, options, self._on_step_there, self._on_layer_there)
        self._pipeline = pipeline

        def job() -> Started | Created:
            created = pipeline.create()
            self._session.workers.here(lambda: self._on_created(created.id))
            return pipeline.start(created)

        def work() -> Started | Created | None:
            try:
                return job()
            except Cancelled:
                return None

        self._session.workers.run(work, self._on_done, self._on_failed)

    def cancel(self) -> None:
        """Stop before the next step, or in the middle of the pull."""
        self.is_cancelled = True
        if (pipeline := self._pipeline) is not None:
            self._session.workers.run(pipeline.cancel)

    # from the worker -------------------------------------------------------------------------------------------------

    def _on_step_there(self, step: Step) -> None:
        self._session.workers.here(lambda: self._on_step(step))

    def _on_layer_there(self, line: PullProgress) -> None:
        with self._lock:
            self._lines.append(line)
            told, self._told = self._told, True
        if not told:
            self._session.workers.here(lambda: QTimer.singleShot(33, self._on_layers))

    # here ------------------------------------------------------------------------------------------------------------

    def _on_created(self, container_id: str) -> None:
        self.container_id = container_id

    def _on_step(self, step: Step) -> None:
        self.steps[step.name] = step
        if step.state is StepState.RUNNING:
            self.step_began[step.name] = time.monotonic()
        self._on_layers()
        self.changed.emit()

    def _on_layers(self) -> None:
        with self._lock:
            lines, self._lines, self._told = self._lines, [], False
        if lines:
            self.layers.take(lines)
            self.changed.emit()

    def _on_done(self, result: Started | Created | None) -> None:
        if isinstance(result, Started):
            self.container_id = result.id
            self.usual.add(list(self.steps.values()))
        self.end()

    def _on_failed(self, error: Exception) -> None:
        self.error = None if self.is_cancelled else error
        self.end(str(error))

    def end(self, problem: str = "") -> None:
        self._on_layers()
        super().end(problem)
