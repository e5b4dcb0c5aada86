"""The second step of the welcome: a first container, by one click."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QWidget

from desktop.client.run import StepState
from desktop.ui.containers.model import ContainerModel
from desktop.ui.containers.page import HELLO
from desktop.ui.feed.session import EngineSession
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.labels import Label
from desktop.ui.kit.page import Place
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.words import duration, plain_error, sentence, tr
from desktop.ui.run.options import RunWish
from desktop.ui.run.pipeline import FiveSteps
from desktop.ui.run.printed import PrintedCard
from desktop.ui.run.run import Run
from desktop.ui.run.runs import Runs
from desktop.ui.welcome.panel import Panel


class HelloPanel(Panel):
    """Runs cove/hello and shows its five steps and what it prints. Signals: changed(), why_asked(), continued()."""

    changed = Signal()
    why_asked = Signal()
    continued = Signal()

    def __init__(
        self,
        theme: Theme,
        icons: Icons,
        session: EngineSession,
        model: ContainerModel,
        runs: Runs,
        here: Place,
        parent: QWidget | None = None,
    ) -> None:
        """`here`: where the user finds the run."""
        super().__init__(theme, icons, parent)
        self._session, self._model, self._runs, self._here = session, model, runs, here
        self.current: Run | None = None
        self._is_usable = False
        self.steps = FiveSteps(theme, icons)
        self.steps.show_promises()
        self.content.addWidget(self.steps)
        self.printed = PrintedCard(theme, icons)
        self.printed.clear()
        self.printed.came.connect(self._show_end)
        self.content.addWidget(self.printed)
        self.problem = Label(theme, "", "body", "bad")
        self.problem.setWordWrap(True)
        self.content.addWidget(self.problem)
        self.next.setText(
            tr("Next: let the docker command, Compose and your editor use Cove, as a context you can switch off.")
        )
        self.run = self.add_button(tr("Run {image}", image=HELLO), "play", "primary")
        self.go_on = self.add_button(tr("Continue"), kind="primary")
        self.again = self.add_button(tr("Run it again"), "arrow-clockwise")
        self.why = self.add_button(tr("Find out why"), "first-aid-kit")
        for button in (self.run, self.again):
            button.clicked.connect(self._start)
        self.go_on.clicked.connect(self.continued)
        self.why.clicked.connect(self.why_asked)
        runs.changed.connect(self._on_changed)
        model.dataChanged.connect(self._show_end)
        model.rowsInserted.connect(self._show_end)  # it may have ended when it comes into the list
        self._show()

    @property
    def is_done(self) -> bool:
        """Whether the container has started."""
        run = self.current
        return run is not None and run.is_over and run.error is None and not run.is_cancelled

    @property
    def has_failed(self) -> bool:
        return self.current is not None and self.current.error is not None

    @property
    def took_s(self) -> float | None:
        """The time of all steps of a start."""
        if self.current is None or not self.is_done:
            return None
        return sum(step.ms for step in self.current.steps.values() if step.state is StepState.DONE) / 1000

    def set_usable(self, usable: bool) -> None:
        """Whether there is an engine that can run it."""
        self._is_usable = usable
        self._show()

    def leave(self) -> None:
        """Read no output any more."""
        self.printed.stop()

    def come(self) -> None:
        self._show()

    def _start(self) -> None:
        self.printed.clear()
        self.current = self._runs.start(RunWish(image=HELLO), self._here)
        self._show()

    def _on_changed(self, run: Run) -> None:
        if run is self.current:
            self._show()

    def _show(self) -> None:
        run, took = self.current, self.took_s
        if run is None:
            self.title.setText(tr("Run your first container"))
            self.lead.setText(tr("It came with Cove, so nothing is downloaded. These five steps happen at every run."))
        else:
            self.steps.show_run(run)
            if took is not None:
                self.title.setText(tr("Your first container started in {time}", time=duration(took)))
            else:
                self.title.setText(
                    tr("The container did not start") if self.has_failed else tr("Your first container starts")
                )
            self.lead.setText(tr("It came with Cove, so nothing was downloaded. These five steps happen at every run."))
        self.problem.setText(sentence(plain_error(str(run.error))) if run is not None and run.error else "")
        self.problem.setVisible(self.has_failed)
        is_running = run is not None and run.is_running
        self.run.setVisible(run is None or is_running)
        self.run.setEnabled(self._is_usable and not is_running)
        self.go_on.setVisible(self.is_done)
        self.again.setVisible(run is not None and run.is_over)
        self.again.setEnabled(self._is_usable)
        self.why.setVisible(self.has_failed)
        if run is not None and self.is_done:
            container = self._model.container(run.container_id)
            self.printed.follow(self._session, run.container_id, tty=bool(container and container.tty))
            self._show_end()
        self.changed.emit()

    def _show_end(self) -> None:
        if self.current is not None:
            self.printed.show_end(self._model.container(self.current.container_id))
