"""One run of an image: its five steps and its result. Requests run in workers, all else on the GUI thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median

from PySide6.QtCore import (
    QObject,
    QSettings,
)

from desktop.client.engine import EngineClient
from desktop.client.run import STEP_NAMES, Cancelled, Created, Pipeline, RunOptions, Started, Step, StepState
from desktop.ui.feed.session import EngineSession
from desktop.ui.kit.tasks import Task
from desktop.ui.kit.toasts import Message
from desktop.ui.kit.words import tr
from desktop.ui.run.layers import LayerLines, LayerModel
from desktop.ui.run.options import RunWish

KEPT_RUNS = 20


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
        self._lines = LayerLines(session.workers, self._on_layers)
        self._pipeline: Pipeline | None = None
        self._client: EngineClient | None = None

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
        client = EngineClient(self._session.endpoint)  # its own: a cancel ends the pull that it waits for
        pipeline = Pipeline(client, options, self._on_step_there, self._lines.put)
        self._pipeline, self._client = pipeline, client

        def job() -> Started | Created:
            created = pipeline.create()
            self._session.workers.here(lambda: self._on_created(created.id))
            return pipeline.start(created)

        def work() -> Started | Created | None:
            try:
                with client:
                    return job()
            except Cancelled:
                return None

        self._session.workers.run_long(work, self._on_done, self._on_failed)

    def cancel(self) -> None:
        """Stop before the next step, or in the middle of the pull."""
        self.is_cancelled = True
        if (pipeline := self._pipeline) is not None:
            pipeline.cancel()
        if self._client is not None and self.current in ("look", "pull"):
            self._client.abort()

    # from the worker -------------------------------------------------------------------------------------------------

    def _on_step_there(self, step: Step) -> None:
        self._session.workers.here(lambda: self._on_step(step))

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
        if lines := self._lines.take():
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
