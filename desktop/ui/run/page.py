"""The page of a run: five steps, layers, options and equivalent command; then its output or the error."""

from __future__ import annotations

import time
from dataclasses import replace

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from desktop.client.run import StepState
from desktop.ui.containers.model import ContainerModel
from desktop.ui.feed.container import restart_words
from desktop.ui.feed.session import EngineSession
from desktop.ui.kit.buttons import Button, Link
from desktop.ui.kit.cards import Card, CardTitle, FactsCard
from desktop.ui.kit.fields import CodeWell
from desktop.ui.kit.glyphs import StateGlyph
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.labels import ElidedLabel, Label
from desktop.ui.kit.page import Desk, Page, Place
from desktop.ui.kit.states import State
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.words import disk, duration, tr
from desktop.ui.run.options import RunWish
from desktop.ui.run.pipeline import FiveSteps, LayerList
from desktop.ui.run.printed import PrintedCard
from desktop.ui.run.remedies import Diagnosis, PortFacts, Remedy, diagnose, next_free_port, port_program, taken_port
from desktop.ui.run.run import Run
from desktop.ui.run.runs import Runs


class ErrorCard(Card):
    """Shows what failed, why, what remains, and buttons for remedies. Signals: chosen(Remedy)."""

    chosen = Signal(object)

    def __init__(self, theme: Theme, icons: Icons, parent: QWidget | None = None) -> None:
        super().__init__(theme, "bad", parent)
        self._theme, self._icons = theme, icons
        row = QHBoxLayout(self)
        row.setContentsMargins(22, 20, 24, 20)
        row.setSpacing(14)
        row.addWidget(StateGlyph(theme, State.PROBLEM, 18), 0, Qt.AlignmentFlag.AlignTop)
        column = QVBoxLayout()
        column.setSpacing(8)
        self.title = Label(theme, "", "heading")
        self.title.setWordWrap(True)
        self.why = Label(theme, "", "body", "text2")
        self.why.setWordWrap(True)
        column.addWidget(self.title)
        column.addWidget(self.why)
        column.addSpacing(4)
        self._buttons = QHBoxLayout()
        self.buttons: list[Button] = []
        self._buttons.setSpacing(8)
        column.addLayout(self._buttons)
        column.addSpacing(8)
        self.details_link = Link(theme, tr("Details"))
        column.addWidget(self.details_link)
        self.details = CodeWell(theme, icons, name=tr("Details"))
        self.details.hide()
        self.details_link.clicked.connect(lambda: self.details.setVisible(not self.details.isVisible()))
        column.addWidget(self.details)
        row.addLayout(column, 1)

    def tell(self, diagnosis: Diagnosis, details: str) -> None:
        """Show the title, the reason, the details, and a button for each remedy, in place of an earlier diagnosis."""
        self.title.setText(diagnosis.title)
        self.why.setText(diagnosis.why)
        self.details.set_text(details)
        self.buttons.clear()
        while item := self._buttons.takeAt(0):
            if widget := item.widget():
                widget.hide()
                widget.deleteLater()
        for number, remedy in enumerate(diagnosis.remedies):
            primary = number == 0 and remedy.kind == "run"
            danger = remedy.kind == "delete"
            icon = "trash" if danger else "play" if primary else ""
            kind = "primary" if primary else "danger" if danger else "plain"
            button = Button(self._theme, self._icons, remedy.text, icon, kind=kind)  # type: ignore[arg-type]
            button.clicked.connect(lambda _=False, r=remedy: self.chosen.emit(r))
            self._buttons.addWidget(button)
            self.buttons.append(button)
        self._buttons.addStretch(1)


class RunPage(Page):
    """Signals: options_asked(RunWish, field), again_asked(RunWish), delete_asked(id)."""

    options_asked = Signal(object, str)
    again_asked = Signal(object)
    delete_asked = Signal(str)

    def __init__(
        self, desk: Desk, session: EngineSession, model: ContainerModel, runs: Runs, parent: QWidget | None = None
    ) -> None:
        super().__init__(desk, parent)
        theme, icons = desk.theme, desk.icons
        self._theme, self._icons, self._session, self._model = theme, icons, session, model
        self._runs = runs
        self._run: Run | None = None
        self._diagnosed = ""
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        outer.addWidget(scroll)
        inner = QWidget()
        inner.setObjectName("page")
        self._column = QVBoxLayout(inner)
        self._column.setContentsMargins(24, 0, 24, 24)
        self._column.setSpacing(12)
        head = QHBoxLayout()
        head.setContentsMargins(0, 13, 0, -2)
        head.setSpacing(12)
        self.title = ElidedLabel(theme, "", "title")
        self.title.setFixedHeight(32)
        self.named = ElidedLabel(theme, "", "body", "text2")
        head.addWidget(self.title)
        head.addWidget(self.named)
        head.addStretch(1)
        self.hide_button = Button(theme, icons, tr("Hide"), "arrow-line-down")
        self.cancel = Button(theme, icons, tr("Cancel"), "x")
        self.again = Button(theme, icons, tr("Run it again"), "arrow-clockwise")
        self.open = Button(theme, icons, tr("Open container"), "cube", kind="primary")
        self.close_button = Button(theme, icons, tr("Close"))
        for button in (self.hide_button, self.cancel, self.again, self.open, self.close_button):
            head.addWidget(button)
        self._column.addLayout(head)
        self.steps = FiveSteps(theme, icons)
        self._column.addWidget(self.steps)
        self.error = ErrorCard(theme, icons)
        self._column.addWidget(self.error)
        self._pull = Card(theme)
        self._pull_column = QVBoxLayout(self._pull)
        self._pull_column.setContentsMargins(16, 12, 16, 8)
        self._pull_column.setSpacing(10)
        self._pull_title = CardTitle(theme, icons, "download-simple", tr("Pull"))
        self._pull_column.addWidget(self._pull_title)
        self._layers: LayerList | None = None
        self._column.addWidget(self._pull)
        self.printed = PrintedCard(theme, icons)
        self.printed.came.connect(self._show_end)
        self._column.addWidget(self.printed)
        grid = QGridLayout()
        grid.setSpacing(12)
        self._will_be = FactsCard(theme, icons, "sliders-horizontal", tr("Options"))
        command = Card(theme)
        command_column = QVBoxLayout(command)
        command_column.setContentsMargins(16, 14, 16, 16)
        command_column.setSpacing(12)
        command_column.addWidget(CardTitle(theme, icons, "terminal-window", tr("The same as a command")))
        self.well = CodeWell(theme, icons)
        command_column.addWidget(self.well)
        command_column.addStretch(1)
        grid.addWidget(self._will_be, 0, 0)
        grid.addWidget(command, 0, 1)
        grid.setColumnStretch(0, 1)
        grid.setColumnStretch(1, 1)
        self._column.addLayout(grid)
        self._column.addStretch(1)
        scroll.setWidget(inner)
        self.hide_button.clicked.connect(self._on_close)
        self.close_button.clicked.connect(self._on_close)
        self.cancel.clicked.connect(lambda: self._run and self._run.cancel())
        self.again.clicked.connect(lambda: self._run and self.again_asked.emit(self._run.wish))
        self.open.clicked.connect(self._on_open)
        self.error.chosen.connect(self._on_remedy)
        runs.changed.connect(self._on_changed)
        model.dataChanged.connect(self._on_model)
        model.rowsInserted.connect(self._on_model)  # it may have ended when it comes into the list
        model.rowsRemoved.connect(self._on_model)

    # showing ---------------------------------------------------------------------------------------------------------

    def _on_close(self) -> None:
        self.desk.go(Place("containers"))

    def _on_open(self) -> None:
        if self._run is not None:
            self.desk.go(Place("container", self._run.container_id, "logs"))

    def show_place(self, thing: str, _tab: str) -> None:
        run = self._runs.of(thing)
        if run is None:
            return
        if run is not self._run:
            self.printed.clear()
            self._diagnosed = ""
            self._run = run
            if self._layers is not None:
                self._pull_column.removeWidget(self._layers)
                self._layers.deleteLater()
            self._layers = LayerList(self._theme, self._icons, run.layers)
            self._pull_column.addWidget(self._layers)
            self._show_wish(run.wish)
        self._show()

    def leave(self) -> None:
        self.printed.stop()

    def _show_wish(self, wish: RunWish) -> None:
        self.title.set_text(tr("Run {image}", image=wish.image))
        self.named.set_text(tr("as {name}", name=wish.name) if wish.name else "")
        facts = [
            (
                tr("Port"),
                tr("{there} to {here} in the container", there=p.host_port or tr("a free port"), here=p.port),
                False,
            )
            for p in wish.ports
        ]
        facts += [
            (tr("Volume"), tr("{source}, at {target}", source=m.source, target=m.target), False) for m in wish.mounts
        ]
        facts += [(tr("Variable"), name, True) for name, _ in wish.environment]
        facts.append((tr("Command"), wish.command or tr("the image's default"), bool(wish.command)))
        facts.append((tr("Memory"), tr("{n} MB at most", n=wish.memory) if wish.memory else tr("no limit"), False))
        if wish.restart != "no":
            facts.append((tr("Restart"), restart_words(wish.restart), False))
        if wish.remove:
            facts.append((tr("At its end"), tr("it is deleted"), False))
        self._will_be.tell(facts)
        self.well.set_text(wish.command_lines(52), wish.command_line())

    def _on_changed(self, run: Run) -> None:
        if run is self._run:
            self._show()

    def _show(self) -> None:
        run = self._run
        if run is None:
            return
        self.steps.show_run(run)
        pulling = bool(run.layers.layers) or (
            (step := run.steps.get("pull")) is not None and step.state is StepState.RUNNING
        )
        self._pull.setVisible(pulling)
        if pulling:
            self._pull_title.fact.set_text(run.layers.summary)
            self._pull_title.right.setText(self._rate(run))
        failed = run.error is not None
        done = run.is_over and not failed and not run.is_cancelled
        self.error.setVisible(failed)
        if failed and self._diagnosed != run.key:
            self._diagnosed = run.key
            self._diagnose(run)
        self.hide_button.setVisible(run.is_running)
        self.cancel.setVisible(run.is_running)
        self.cancel.setEnabled(not run.is_cancelled)
        self.again.setVisible(done or run.is_cancelled)
        self.open.setVisible(done and self._model.container(run.container_id) is not None)
        self.close_button.setVisible(run.is_over)
        if run.is_cancelled and run.is_over:
            self.named.set_text(tr("cancelled; nothing half-made is left"))
        if done:
            container = self._model.container(run.container_id)
            self.printed.follow(self._session, run.container_id, tty=bool(container and container.tty))
            self._show_end()

    @staticmethod
    def _rate(run: Run) -> str:
        step = run.steps.get("pull")
        done, total = run.layers.fraction
        if step is None or not total:
            return ""
        if step.state is not StepState.RUNNING:
            return tr("{size} in {time}", size=disk(total), time=duration(step.ms / 1000)) if step.ms else ""
        passed = time.monotonic() - run.step_began.get("pull", time.monotonic())
        if passed < 0.5 or not done or done >= total:
            return ""
        rate = done / passed
        return tr("{rate}/s, about {time} left", rate=disk(rate), time=duration((total - done) / rate))

    # what it printed -------------------------------------------------------------------------------------------------

    def _show_end(self) -> None:
        if self._run is not None:
            self.printed.show_end(self._model.container(self._run.container_id))

    def _on_model(self) -> None:
        if self.isVisible() and self._run is not None and self._run.is_over:
            self._show()

    # what failed -----------------------------------------------------------------------------------------------------

    def _diagnose(self, run: Run) -> None:
        error = run.error
        assert error is not None  # only called for a failed run
        step = run.failed_step.name if run.failed_step else run.current
        left = bool(run.container_id)
        details = tr("{text}, in step {step}", text=str(error), step=step.capitalize())

        def tell(facts: PortFacts | None) -> None:
            if run is self._run:
                found = diagnose(run.wish, step, error, container_left=left, port_facts=facts)
                self.error.tell(found, details)

        taken = taken_port(error)
        if taken is None:
            tell(None)
            return
        # No buttons before all are known: one that came later would move another from under the pointer.
        facts = PortFacts(holder=self._holder(taken, run.container_id))
        bare = diagnose(run.wish, step, error, container_left=left, port_facts=facts)
        self.error.tell(replace(bare, remedies=()), details)
        is_here = self._session.endpoint.scheme != "tcp"  # the port is one of this computer

        def look() -> PortFacts:
            return PortFacts(next_free_port(taken), facts.holder or (port_program(taken) if is_here else ""))

        self._session.workers.run(look, tell, lambda _: tell(facts))

    def _holder(self, port: int, own_id: str) -> str:
        """The container that publishes `port`, in words; empty if none does."""
        for container in self._model.containers():
            if container.is_running and container.id != own_id and port in (p.host_port for p in container.ports):
                return tr("The container {name}", name=container.name)
        return ""

    def _on_remedy(self, remedy: Remedy) -> None:
        run = self._run
        if run is None:
            return
        leftover, run_again = run.container_id, remedy.kind in ("run", "options")
        if remedy.kind == "delete":
            self.delete_asked.emit(leftover)
            return
        if leftover and run_again:  # the new run creates another container, so delete the one that did not start
            client = self._session.client
            self._session.workers.run(
                lambda: client.remove(leftover, force=True),
                lambda _: self._go_on(remedy),
                lambda _: self._go_on(remedy),
            )
        else:
            self._go_on(remedy)

    def _go_on(self, remedy: Remedy) -> None:
        if remedy.kind == "options":
            self.options_asked.emit(remedy.wish, remedy.field)
        else:
            self.again_asked.emit(remedy.wish)
