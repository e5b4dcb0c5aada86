"""The welcome, in place of the whole window: three steps at the left, the chosen one at the right."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QApplication, QHBoxLayout, QStackedWidget, QWidget

from desktop.context import Context
from desktop.paths import HostPaths
from desktop.ui.containers.model import ContainerModel
from desktop.ui.feed.engine import EngineFacts
from desktop.ui.feed.session import EngineSession
from desktop.ui.feed.settings import SettingsFeed
from desktop.ui.kit.focus import tab_in_order
from desktop.ui.kit.page import Desk, Page, Place
from desktop.ui.kit.words import duration, tr
from desktop.ui.run.runs import Runs
from desktop.ui.welcome.hello import HelloPanel
from desktop.ui.welcome.panel import Panel
from desktop.ui.welcome.side import Side, StageState
from desktop.ui.welcome.starting import StartPanel
from desktop.ui.welcome.tools import ToolsPanel

HERE = Place("welcome")
NARROW_BELOW = 1_080
START, RUN, CONNECT = range(3)


class WelcomePage(Page):
    """Signals: retry_asked(): start the engine; finished(Place): the user goes on there."""

    retry_asked = Signal()
    finished = Signal(object)

    def __init__(
        self,
        desk: Desk,
        session: EngineSession,
        model: ContainerModel,
        runs: Runs,
        feed: SettingsFeed,
        context: Context,
        paths: HostPaths,
        home: Place,
        pages: Sequence[tuple[str, str]],
        parent: QWidget | None = None,
    ) -> None:
        """`home`: where the window begins without it; `pages`: keys and titles of those that it leads to."""
        super().__init__(desk, parent)
        theme, icons = desk.theme, desk.icons
        self.side = Side(theme, icons, (tr("Start the engine"), tr("See a container start"), tr("Connect your tools")))
        self.start = StartPanel(theme, icons)
        self.hello = HelloPanel(theme, icons, session, model, runs, HERE)
        self.tools = ToolsPanel(theme, icons, feed, context, paths, session.workers, pages)
        self.panels: tuple[Panel, ...] = (self.start, self.hello, self.tools)
        self.stack = QStackedWidget()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        row.addWidget(self.side)
        row.addWidget(self.stack, 1)
        for panel in self.panels:
            self.stack.addWidget(panel)
            panel.skipped.connect(lambda: self.finished.emit(home))
        self.side.chosen.connect(self._choose)
        self.start.retry_asked.connect(self.retry_asked)
        self.start.continued.connect(lambda: self._choose(RUN))
        self.hello.continued.connect(lambda: self._choose(CONNECT))
        self.tools.continued.connect(lambda: self.finished.emit(home))
        self.tools.page_asked.connect(lambda key: self.finished.emit(Place(key)))
        for panel in (self.start, self.hello):
            panel.why_asked.connect(lambda: self.finished.emit(Place("troubleshoot")))
        self.hello.changed.connect(self._show_stages)
        self.tools.made.connect(self._show_stages)
        self.tools.grown.connect(self._order)
        self._order()
        self._show_stages()

    def _order(self) -> None:
        """Tab goes through the steps, then through the content of the one that is shown."""
        tab_in_order([*self.side.stages, *(part for panel in self.panels for part in panel.tab_stops())])

    # Page ------------------------------------------------------------------------------------------------------------

    def show_place(self, thing: str, tab: str) -> None:
        self.hello.come()
        self.tools.come()

    def leave(self) -> None:
        self.hello.leave()

    def first_focus(self) -> QWidget:
        return self.panels[self.stack.currentIndex()].first_focus()

    def next_tab(self, by: int) -> None:
        self._choose((self.stack.currentIndex() + by) % len(self.panels))

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        narrow = self.width() < NARROW_BELOW
        self.side.set_narrow(narrow)
        for panel in self.panels:
            panel.set_narrow(narrow)

    # steps -----------------------------------------------------------------------------------------------------------

    def show_facts(self, facts: EngineFacts) -> None:
        """The engine's state. Once it runs, the next step is shown, unless the user has chosen another one."""
        was_usable = self.start.facts is not None and self.start.facts.phase.is_usable
        self.start.show_facts(facts)
        self.hello.set_usable(facts.phase.is_usable)
        if facts.phase.is_usable and not was_usable and self.stack.currentIndex() == START:
            self._choose(RUN)
        self._show_stages()

    def _choose(self, number: int) -> None:
        focused = QApplication.focusWidget()
        had_focus = focused is None or self.stack.isAncestorOf(focused)
        self.stack.setCurrentIndex(number)
        self._show_stages()
        if had_focus and self.isVisible():
            self.first_focus().setFocus(Qt.FocusReason.OtherFocusReason)

    def _show_stages(self) -> None:
        shown = self.stack.currentIndex()
        self.side.show_boot(self.start.steps if shown != START else ())  # which the first one shows itself
        facts = self.start.facts
        is_usable = facts is not None and facts.phase.is_usable
        has_failed = not is_usable and not self.start.retry.isHidden()
        took = (self.start.took_s, self.hello.took_s, None)
        done = (is_usable, self.hello.is_done, self.tools.docker.is_made)
        failed = (has_failed, self.hello.has_failed, False)
        for number, stage in enumerate(self.side.stages):
            state = StageState.CURRENT if number == shown else StageState.OPEN
            if done[number] or failed[number]:
                state = StageState.DONE if done[number] else StageState.FAILED
            seconds = took[number]
            stage.tell(state, is_shown=number == shown, right="" if seconds is None else duration(seconds))
