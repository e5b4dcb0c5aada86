"""The first step of the welcome: the engine starts, natively or in its VM."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from desktop.ui.feed.engine import EngineFacts, EnginePhase
from desktop.ui.kit.cards import Card, CardTitle
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.labels import Label
from desktop.ui.kit.steps import BootStep, StepList
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.words import duration, sentence, tr
from desktop.ui.welcome.panel import MOST_WIDTH, Panel


class StartPanel(Panel):
    """Shows the steps of the engine's start. Signals: retry_asked(), why_asked(), continued()."""

    retry_asked = Signal()
    why_asked = Signal()
    continued = Signal()

    def __init__(self, theme: Theme, icons: Icons, parent: QWidget | None = None) -> None:
        self.list = StepList(theme)
        super().__init__(theme, icons, parent)
        self.facts: EngineFacts | None = None
        self.steps: Sequence[BootStep] = ()
        self._began_s: float | None = None  # of the monotonic clock: this window saw it start
        self.took_s: float | None = None
        self._card = Card(theme)
        column = QVBoxLayout(self._card)
        column.setContentsMargins(16, 14, 16, 16)
        column.setSpacing(12)
        self._head = CardTitle(theme, icons, "activity", tr("Steps of the start"))
        column.addWidget(self._head)
        column.addWidget(self.list)
        self.content.addWidget(self._card)
        self.problem = Label(theme, "", "body", "bad")
        self.problem.setWordWrap(True)
        self.content.addWidget(self.problem)
        self.go_on = self.add_button(tr("Continue"), kind="primary")
        self.retry = self.add_button(tr("Try again"), "arrow-clockwise", "primary")
        self.why = self.add_button(tr("Find out why"), "first-aid-kit")
        self.go_on.clicked.connect(self.continued)
        self.retry.clicked.connect(self.retry_asked)
        self.why.clicked.connect(self.why_asked)

    def set_narrow(self, narrow: bool) -> None:
        super().set_narrow(narrow)
        self.list.set_width(596 if narrow else MOST_WIDTH - 34)

    def show_facts(self, facts: EngineFacts) -> None:
        self.facts = facts
        phase, is_vm = facts.phase, facts.kind == "vm"
        is_busy = phase in (EnginePhase.STARTING, EnginePhase.CONNECTING, EnginePhase.STOPPING)
        has_failed = not phase.is_usable and not is_busy
        self._measure(facts, has_failed=has_failed)
        if phase.is_usable:
            took = self.took_s
            title = tr("The engine runs")
            self.title.setText(title if took is None else tr("The engine started in {time}", time=duration(took)))
        else:
            self.title.setText(tr("The engine did not start") if has_failed else tr("The engine is starting"))
        self.lead.setText(_about(facts))
        self.list.set_steps(self.steps)
        self._head.right.setText("" if self.took_s is None else duration(self.took_s))
        self._card.setVisible(bool(self.steps))
        self.problem.setText(" ".join(sentence(part) for part in (facts.problem, facts.hint) if part))
        self.problem.setVisible(has_failed and bool(self.problem.text()))
        self.next.setText("" if has_failed else tr("Next: see a container start."))
        self.go_on.setVisible(phase.is_usable)
        self.retry.set_label(tr("Start the VM") if is_vm else tr("Try again"))
        self.retry.setVisible(has_failed)
        self.why.setVisible(has_failed)

    def _measure(self, facts: EngineFacts, *, has_failed: bool) -> None:
        """Keep the steps after the start's end, with their times."""
        if facts.phase is EnginePhase.STARTING and self._began_s is None:
            self._began_s, self.took_s = time.monotonic(), None
        if facts.steps:
            self.steps = facts.steps
        if has_failed:
            self.steps = [step if step.done else replace(step, failed=True) for step in self.steps]
        if not facts.phase.is_usable:
            return
        if facts.started_in_s is not None:
            self.took_s = facts.started_in_s
        elif self._began_s is not None:
            self.took_s = time.monotonic() - self._began_s
        self._began_s = None
        took_ms = None if self.took_s is None else self.took_s * 1000
        self.steps = [
            step
            if step.done
            else replace(step, done=True, failed=False, took_ms=took_ms if step.took_ms is None else step.took_ms)
            for step in self.steps
        ]


def _about(facts: EngineFacts) -> str:
    """What starts, and why."""
    if facts.kind == "vm":
        return tr(
            "Containers need a Linux kernel. Cove starts a small virtual machine of its own with one; the first start "
            "prepares it, and later ones take what it saved."
        )
    if facts.kind == "native":
        return tr(
            "This computer runs Linux, so containers need no virtual machine: the engine starts them beside your "
            "other programs."
        )
    return tr("Containers run on the engine at {address}.", address=facts.address)
