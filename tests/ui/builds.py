"""The page object of the Builds page."""

from __future__ import annotations

from pytestqt.qtbot import QtBot

from desktop.ui.builds.page import BuildsPage as BuildsView
from desktop.ui.shell.app import Cove
from tests.ui.finding import button
from tests.ui.hands import LIMIT_MS
from tests.ui.made import made
from tests.ui.tables import TablePage


class BuildsPage(TablePage):
    def __init__(self, cove: Cove, qtbot: QtBot) -> None:
        super().__init__(cove, qtbot, made(cove, BuildsView))
        self._builds = made(cove, BuildsView)

    def wait_until_shown(self, name: str) -> None:
        """Wait for the row, and for the list, which an empty page stands for before."""
        view = self._builds.view
        self._qtbot.waitUntil(lambda: name in self.names() and view.isVisible(), timeout=LIMIT_MS)

    def steps(self) -> list[str]:
        """What the rows of the time axis say."""
        model = self._builds.card.steps.model
        return [row.said for row in model.rows]

    def wait_until_step(self, begins: str, ends: str) -> None:
        """Wait for a step whose text begins so and whose note ends so."""

        def look() -> bool:
            return any(said.startswith(begins) and said.endswith(ends) for said in self.steps())

        self._qtbot.waitUntil(look, timeout=LIMIT_MS)

    def open_step(self, begins: str) -> None:
        """Double-click the step's row."""
        steps = self._builds.card.steps
        number = next(n for n, said in enumerate(self.steps()) if said.startswith(begins))
        rect = steps.view.visualRect(steps.model.index(number))
        self._hands.double_click(steps.view.viewport(), rect.center())

    def logged(self) -> list[str]:
        return self._builds.card.log.view.shown_texts()

    def wait_until_logged(self, text: str) -> None:
        self._qtbot.waitUntil(lambda: any(text in line for line in self.logged()), timeout=LIMIT_MS)

    def show_all_steps(self) -> None:
        self._hands.click(self._builds.card.log.all)

    def arrows(self) -> list[str]:
        """The marked lines of the Dockerfile that is shown."""
        text = self._builds.card.failure.text
        return [line for line in text.toPlainText().splitlines() if line.startswith("→")] if text.isVisible() else []

    def wait_until_marked(self, text: str) -> None:
        self._qtbot.waitUntil(lambda: any(text in line for line in self.arrows()), timeout=LIMIT_MS)

    def press_button(self, text: str) -> None:
        """Click a button of the page or its card."""
        self._hands.click(button(self._builds, text))
