"""What a user sees and does in the window. Tests know these classes and no widget."""

from __future__ import annotations

from PySide6.QtCore import QAbstractItemModel, QModelIndex, QPoint, Qt
from PySide6.QtWidgets import QLabel, QWidget
from pytestqt.qtbot import QtBot

from desktop.client.run import StepState
from desktop.ui.app import Cove
from desktop.ui.buttons import Button
from desktop.ui.container_model import Row
from desktop.ui.dialogs import Dialog
from desktop.ui.facts import EnginePhase
from desktop.ui.run_options import RunWish
from desktop.ui.window import Place

LIMIT_MS = 15_000


def indexes(model: QAbstractItemModel, parent: QModelIndex | None = None) -> list[QModelIndex]:
    """Every row of a model, depth first."""
    found = []
    for number in range(model.rowCount(parent or QModelIndex())):
        index = model.index(number, 0, parent or QModelIndex())
        found += [index, *indexes(model, index)]
    return found


class Window:
    """The whole window on one engine."""

    def __init__(self, cove: Cove, qtbot: QtBot) -> None:
        self._cove, self._qtbot = cove, qtbot
        self.containers = ContainersPage(cove, qtbot)
        self.images = ImagesPage(cove, qtbot)
        self.container = ContainerPage(cove, qtbot)
        self.run_page = RunPage(cove, qtbot)

    def wait_until_connected(self) -> None:
        self._qtbot.waitUntil(lambda: self.phase is EnginePhase.RUNNING, timeout=LIMIT_MS)

    def wait_until_lost(self) -> None:
        self._qtbot.waitUntil(lambda: self.phase is EnginePhase.LOST, timeout=LIMIT_MS)

    @property
    def phase(self) -> EnginePhase:
        return self._cove.control.facts.phase

    @property
    def banner(self) -> str:
        page = self._cove.containers_page
        return page.banner.title.text() if page.banner.isVisible() else ""

    def go(self, page: str) -> None:
        self._cove.window.go(Place(page))

    def open_container(self, name: str, tab: str) -> ContainerPage:
        container = next(c for c in self._cove.model.containers() if c.name == name)
        self._cove.window.go(Place("container", container.id, tab))
        return self.container

    def run(self, wish: RunWish) -> RunPage:
        self._cove.run(wish)
        return self.run_page

    def dialog(self) -> Dialog:
        """The one that is open."""
        return next(d for d in self._cove.window.findChildren(Dialog) if d.isVisible())

    def dialog_words(self) -> list[str]:
        return [label.text() for label in self.dialog().findChildren(QLabel)]

    def press(self, text: str) -> None:
        """Click the button of the open dialog that says `text`."""
        self._qtbot.mouseClick(button(self.dialog(), text), Qt.MouseButton.LeftButton)

    def toasts(self) -> list[str]:
        return [message.title for message in self._cove.window.toasts.shown()]

    def palette(self, text: str) -> list[tuple[str, str]]:
        """What is offered for a typed text: (section, title)."""
        self._cove.palette.open_over(self._cove.window, text)
        return [(entry.section, entry.title) for entry in self._cove.palette.entries()]

    def press_in_palette(self, key: Qt.Key) -> None:
        self._qtbot.keyClick(self._cove.palette.field, key)

    def activity(self) -> list[str]:
        model = self._cove.activity
        return [str(model.index(n).data()).split(" ", 1)[1] for n in range(model.rowCount())]

    def wait_until_happened(self, text: str) -> None:
        self._qtbot.waitUntil(lambda: text in self.activity(), timeout=LIMIT_MS)


def button(parent: QWidget, text: str) -> Button:
    return next(b for b in parent.findChildren(Button) if b.text() == text and b.isVisible())


class ContainersPage:
    def __init__(self, cove: Cove, qtbot: QtBot) -> None:
        self._cove, self._qtbot = cove, qtbot
        self._page = cove.containers_page
        self._table = cove.containers_page.table

    def rows(self) -> dict[str, str]:
        """The names in sight, projects too, with what the row says of the state."""
        said = {}
        for index in indexes(self._table.filter):
            node = self._table.filter.node(index)
            assert node is not None
            said[str(index.data())] = node.container.note or "running" if isinstance(node, Row) else node.words
        return said

    def wait_until_says(self, name: str, words: str) -> None:
        self._qtbot.waitUntil(lambda: words in self.rows().get(name, ""), timeout=LIMIT_MS)

    def wait_until_gone(self, name: str) -> None:
        self._qtbot.waitUntil(lambda: name not in self.rows(), timeout=LIMIT_MS)

    def wait_until_measured(self, name: str) -> None:
        def look() -> bool:
            row = next((r for r in self._cove.model.rows() if r.container.name == name), None)
            return row is not None and row.latest is not None

        self._qtbot.waitUntil(look, timeout=LIMIT_MS)

    def filter(self, text: str) -> None:
        self._page.search.setText(text)

    def counts(self) -> list[int | None]:
        return [b.count for b in self._page.segments._group.buttons()]  # type: ignore[attr-defined]

    def _index(self, name: str) -> QModelIndex:
        return next(i for i in indexes(self._table.filter) if i.data() == name)

    def click_action(self, name: str, key: str) -> None:
        """Move the pointer over the row and click one of its actions, as a user does."""
        index = self._index(name)
        rect = self._table.visualRect(index)
        viewport = self._table.viewport()
        self._qtbot.mouseMove(viewport, rect.center())
        self._table._set_hover(index)  # the offscreen platform has no pointer to move
        node = self._table.filter.node(index)
        assert node is not None
        place = next(p for p in self._table._painted(node, index).places if p.value == key)
        where = QPoint(place.box.center().x(), rect.y() + place.box.center().y())
        self._qtbot.mouseClick(viewport, Qt.MouseButton.LeftButton, pos=where)

    def check(self, *names: str) -> None:
        for name in names:
            node = self._table.filter.node(self._index(name))
            assert node is not None
            self._table.toggle_check(node)

    def press_on(self, name: str, key: Qt.Key, modifier: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
        self._table.setFocus()
        self._table.setCurrentIndex(self._index(name))
        self._qtbot.keyClick(self._table, key, modifier)

    @property
    def bulk_text(self) -> str:
        return self._page.bulk.count.text() if self._page.bulk.isVisible() else ""

    @property
    def accessible_texts(self) -> list[str]:
        return [str(i.data(Qt.ItemDataRole.AccessibleTextRole)) for i in indexes(self._table.filter)]


class ImagesPage:
    def __init__(self, cove: Cove, qtbot: QtBot) -> None:
        self._cove, self._qtbot = cove, qtbot

    def names(self) -> list[str]:
        return self._cove.images_page.names()

    def wait_until_shown(self, name: str) -> None:
        self._qtbot.waitUntil(lambda: name in self.names(), timeout=LIMIT_MS)

    def wait_until_gone(self, name: str) -> None:
        self._qtbot.waitUntil(lambda: name not in self.names(), timeout=LIMIT_MS)

    def pull(self, reference: str) -> None:
        self._cove.pulls.start(reference)

    def choose(self, name: str) -> None:
        self._cove.images_page.show_place(name, "")

    def wait_until_layers(self) -> list[str]:
        layers = self._cove.images_page.detail.layers
        self._qtbot.waitUntil(lambda: bool(layers.layers), timeout=LIMIT_MS)
        return [layer.step for layer in layers.layers]

    def delete(self) -> None:
        row = self._cove.images_page.detail.row
        assert row is not None
        self._cove.images_page.delete_asked.emit(row)


class ContainerPage:
    def __init__(self, cove: Cove, qtbot: QtBot) -> None:
        self._cove, self._qtbot = cove, qtbot
        self._page = cove.detail_page

    def log(self) -> list[str]:
        return self._page.logs.view.shown_texts()

    def wait_until_logged(self, text: str) -> None:
        self._qtbot.waitUntil(lambda: any(text in line for line in self.log()), timeout=LIMIT_MS)

    def find_in_log(self, text: str) -> tuple[int, int]:
        """Which hit is shown, of how many."""
        with self._qtbot.waitSignal(self._page.logs.view.found) as told:
            self._page.logs.search.setText(text)
        at, of = told.args
        return int(at), int(of)

    def choose_stream(self, number: int) -> None:
        self._page.logs.streams.choose(number)

    @property
    def why(self) -> str:
        card = self._page.logs.why
        return card.title.text() if card.isVisible() else ""

    def type(self, text: str) -> None:
        self._qtbot.keyClicks(self._page.terminal.view, text)
        self._qtbot.keyClick(self._page.terminal.view, Qt.Key.Key_Return)

    def wait_until_terminal_shows(self, text: str) -> None:
        self._qtbot.waitUntil(lambda: text in self._page.terminal.view.text(), timeout=LIMIT_MS)

    def terminal_size(self) -> tuple[int, int]:
        return self._page.terminal.view.size_in_cells

    def wait_until_inspected(self) -> str:
        self._qtbot.waitUntil(lambda: bool(self._page.inspect.text.toPlainText()), timeout=LIMIT_MS)
        return self._page.inspect.text.toPlainText()

    @property
    def command(self) -> str:
        return self._page.overview.well.text()


class RunPage:
    def __init__(self, cove: Cove, qtbot: QtBot) -> None:
        self._cove, self._qtbot = cove, qtbot
        self._page = cove.run_page

    def wait_until_over(self) -> None:
        self._qtbot.waitUntil(lambda: self._page.runs()[-1].is_over, timeout=LIMIT_MS)

    def steps(self) -> dict[str, StepState]:
        return {name: step.state for name, step in self._page.runs()[-1].steps.items()}

    def said(self, step: str) -> str:
        """What the step's mark tells who can't see it."""
        return self._page.steps.marks[step].accessibleName()

    def layers(self) -> list[str]:
        return [layer.word for layer in self._page.runs()[-1].layers.layers.values()]

    def wait_until_printed(self, text: str) -> None:
        self._qtbot.waitUntil(lambda: text in self._page.printed.text.toPlainText(), timeout=LIMIT_MS)

    @property
    def error(self) -> str:
        return self._page.error.title.text() if self._page.error.isVisible() else ""

    def remedies(self) -> list[str]:
        return self._page.error.button_texts()

    def choose_remedy(self, text: str) -> None:

        self._qtbot.mouseClick(next(b for b in self._page.error.buttons if b.text() == text), Qt.MouseButton.LeftButton)
