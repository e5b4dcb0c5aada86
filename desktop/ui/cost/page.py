"""The Cost page: memory, processor and disk by what uses them, and a start measured on this computer."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from desktop.client.api import ApiError
from desktop.ui.containers.model import ContainerModel
from desktop.ui.cost.bars import PartsCard
from desktop.ui.cost.model import STARTS, Costs, read, start_s
from desktop.ui.feed.engine import EngineFacts
from desktop.ui.feed.session import EngineSession
from desktop.ui.feed.workers import Latest
from desktop.ui.kit.buttons import Button
from desktop.ui.kit.cards import Card, CardTitle
from desktop.ui.kit.labels import Label
from desktop.ui.kit.page import Desk, Page, Place
from desktop.ui.kit.page_head import PageHead
from desktop.ui.kit.signs import Bar
from desktop.ui.kit.words import clock, disk, duration, memory, percent, sentence, tr

BAR_WIDTH = 300


class StartCard(Card):
    """The time to the first output of a container, beside that of the virtual machine's start."""

    def __init__(self, desk: Desk, parent: QWidget | None = None) -> None:
        theme, icons = desk.theme, desk.icons
        super().__init__(theme, parent=parent)
        column = QVBoxLayout(self)
        column.setContentsMargins(16, 14, 16, 16)
        column.setSpacing(12)
        head = CardTitle(theme, icons, "clock", tr("Time to first output"))
        head.fact.set_text(tr("of a container of cove/hello, the median of {n} starts", n=STARTS))
        self.measure = Button(theme, icons, tr("Measure it"), "play")
        head.add(self.measure)
        column.addWidget(head)
        self.container, self.container_bar = self._line(desk, column, tr("Container"))
        self.machine, self.machine_bar = self._line(desk, column, tr("Virtual machine"))
        self.sentence = Label(theme, "", "body", "text2")
        self.sentence.setWordWrap(True)
        column.addWidget(self.sentence)

    def _line(self, desk: Desk, column: QVBoxLayout, name: str) -> tuple[Label, Bar]:
        row = QHBoxLayout()
        row.setSpacing(16)
        title = Label(desk.theme, name, "name")
        title.setMinimumWidth(110)
        bar = Bar(desk.theme, BAR_WIDTH)
        value = Label(desk.theme, tr("not measured"), "body", "text2")
        row.addWidget(title)
        row.addWidget(bar)
        row.addWidget(value)
        row.addStretch(1)
        column.addLayout(row)
        return value, bar

    def tell(self, container_s: float | None, machine_s: float | None, *, is_vm: bool) -> None:
        """Show the two times, None: not known. `is_vm`: the containers run in a virtual machine."""
        longest = max(container_s or 0.0, machine_s or 0.0)
        for seconds, label, bar in (
            (container_s, self.container, self.container_bar),
            (machine_s, self.machine, self.machine_bar),
        ):
            label.setText(tr("not measured") if seconds is None else duration(seconds))
            bar.set_fraction((seconds or 0.0) / longest if longest else 0.0)
        if not is_vm:
            self.machine.setText(tr("none"))
            self.sentence.setText(tr("Containers run on this Linux itself: no machine has to start or to be fed."))
        elif container_s and machine_s:
            times = max(1, round(machine_s / container_s))
            self.sentence.setText(
                tr("A container starts {n} times sooner: it boots nothing, it is a process.", n=times)
            )
        else:
            self.sentence.setText(tr("One virtual machine carries all containers, so they share its start."))


class CostPage(Page):
    """Measures at each visit and on request."""

    def __init__(
        self,
        desk: Desk,
        session: EngineSession,
        containers: ContainerModel,
        unused_bytes: Callable[[], int],
        parent: QWidget | None = None,
    ) -> None:
        """`unused_bytes()`: the size of the images that no container uses."""
        super().__init__(desk, parent)
        self._session, self._containers, self._unused_bytes = session, containers, unused_bytes
        self._latest, self._starts = Latest(session.workers), Latest(session.workers)
        self._start_s: float | None = None
        self._facts: EngineFacts | None = None
        self.costs: Costs | None = None
        theme, icons = desk.theme, desk.icons
        column = QVBoxLayout(self)
        column.setContentsMargins(24, 0, 24, 16)
        column.setSpacing(0)
        head = PageHead(theme, tr("Cost"))
        self.summary = head.summary
        self.again = Button(theme, icons, tr("Measure again"), "arrow-clockwise")
        self.again.clicked.connect(self.measure)
        head.addWidget(self.again)
        column.addLayout(head)
        self.memory = PartsCard(theme, icons, "selection-all", tr("Memory"), tr("held by running containers"), memory)
        self.cpu = PartsCard(theme, icons, "cpu", tr("Processor"), tr("in the last second"), percent)
        self.disk = PartsCard(theme, icons, "hard-drives", tr("Disk"), tr("held by the engine"), disk)
        self.start = StartCard(desk)
        self.start.measure.clicked.connect(self._measure_starts)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        inner = QWidget()
        inner.setObjectName("scrolled")
        cards = QVBoxLayout(inner)
        cards.setContentsMargins(0, 4, 8, 0)
        cards.setSpacing(12)
        for card in (self.memory, self.cpu, self.disk):
            card.chosen.connect(lambda place: desk.go(Place(place)))
            cards.addWidget(card)
        cards.addWidget(self.start)
        cards.addStretch(1)
        scroll.setWidget(inner)
        column.addWidget(scroll, 1)

    def first_focus(self) -> QWidget:
        return self.again

    def show_facts(self, facts: EngineFacts) -> None:
        """The engine's state: how many processors and how much memory there is, and how long its VM took to start."""
        self._facts = facts
        self.again.setEnabled(facts.phase.is_usable)
        self.start.measure.setEnabled(facts.phase.is_usable and not self._starts.is_waiting)
        self._show_starts()

    def show_place(self, thing: str, tab: str) -> None:
        self.measure()

    def leave(self) -> None:
        self._latest.drop()

    def measure(self) -> None:
        """Measure memory, processor and disk."""
        if self._latest.is_waiting:
            return
        client = self._session.client
        groups = {c.id: c.project or c.name for c in self._containers.containers()}
        self.summary.setText(tr("Measuring for a second"))

        def failed(error: Exception) -> None:
            if isinstance(error, ApiError) and error.status == 404:
                self.summary.setText(tr("This engine does not tell what containers use."))
            else:
                self.summary.setText(sentence(str(error)))

        self._latest.run(lambda: read(client, groups), self._show, failed)

    def _show(self, costs: Costs) -> None:
        self.costs = costs
        facts = self._facts
        self.summary.setText(tr("measured on this computer, {time}", time=clock(costs.at_s)))
        self.memory.tell(costs.memory, facts.memory_bytes if facts else 0, tr("not held by containers"))
        self.cpu.tell(costs.cpu, 100.0 * facts.cpus if facts else 0, tr("idle, or used by others"))
        self.disk.tell(costs.disk, 0)
        for card, parts in ((self.memory, costs.memory), (self.cpu, costs.cpu)):
            card.add_note("" if parts else tr("No container runs."))
        spare = costs.idle_cache_bytes + self._unused_bytes()
        self.disk.add_note(
            tr("Up to {size} is in images that no container uses, and in the build cache.", size=disk(spare))
            if spare
            else tr("All of it is in use.")
        )

    def _measure_starts(self) -> None:
        if self._starts.is_waiting:
            return
        client = self._session.client
        self.start.measure.setEnabled(False)
        self.start.container.setText(tr("Measuring"))

        def told(seconds: float) -> None:
            self._start_s = seconds
            self.start.measure.setEnabled(True)
            self._show_starts()

        def failed(error: Exception) -> None:
            self.start.measure.setEnabled(True)
            self.start.container.setText(sentence(str(error)))

        self._starts.run(lambda: start_s(client), told, failed)

    def _show_starts(self) -> None:
        facts = self._facts
        if facts is not None and not self._starts.is_waiting:
            self.start.tell(self._start_s, facts.started_in_s, is_vm=facts.kind == "vm")
