"""Page objects: what a user sees and does on a page. Tests use these classes, which act by mouse and keyboard."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from PySide6.QtCore import QEvent, QMimeData, QObject, QPersistentModelIndex, QPointF, QRect, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QHelpEvent, QPaintEvent
from PySide6.QtWidgets import QAbstractButton, QApplication, QLabel, QScrollArea, QToolTip
from pytestqt.qtbot import QtBot

from desktop.client.run import StepState
from desktop.diagnose.report import Grade
from desktop.ui.activity.page import ActivityPage as ActivityView
from desktop.ui.bin.page import BinPage as BinView
from desktop.ui.compose.page import ComposePage as ComposeView
from desktop.ui.cost.page import CostPage as CostView
from desktop.ui.files.view import FilesView
from desktop.ui.images.page import ImagesPage as ImagesView
from desktop.ui.kit.diagram import Thing
from desktop.ui.networks.page import NetworksPage as NetworksView
from desktop.ui.run.page import RunPage as RunView
from desktop.ui.shell.app import Cove
from desktop.ui.troubleshoot.page import TroubleshootPage as TroubleshootView
from desktop.ui.volumes.page import VolumesPage as VolumesView
from tests.ui.files import FilesPart
from tests.ui.finding import button, indexes
from tests.ui.hands import CONTROL, LEFT, LIMIT_MS, NONE, Hands
from tests.ui.made import made
from tests.ui.tables import TablePage


class ActivityPage:
    def __init__(self, cove: Cove, qtbot: QtBot) -> None:
        self._cove, self._qtbot, self._hands = cove, qtbot, Hands(qtbot)
        self._page = made(cove, ActivityView)
        self._newest_old = QPersistentModelIndex()

    def lines(self) -> list[str]:
        model = self._page.view.model()
        return [str(index.data()).split(" ", 1)[1] for index in indexes(model)]

    def begin(self) -> None:
        """Regard what is listed now as old; the list must not be empty."""
        self._newest_old = QPersistentModelIndex(self._page.view.model().index(0, 0))
        assert self._newest_old.isValid()

    def new_lines(self) -> list[str]:
        """What happened since `begin`, newest first."""
        assert self._newest_old.isValid()
        return self.lines()[: self._newest_old.row()]

    def wait_until_new(self, text: str) -> None:
        """Wait until it happened after `begin`."""
        self._qtbot.waitUntil(lambda: text in self.new_lines(), timeout=LIMIT_MS)

    def wait_until_happened(self, text: str) -> None:
        self._qtbot.waitUntil(lambda: text in self.lines(), timeout=LIMIT_MS)

    def choose_segment(self, name: str) -> None:
        self._hands.click(button(self._page.segments, name))


class ImagesPage(TablePage):
    def __init__(self, cove: Cove, qtbot: QtBot) -> None:
        super().__init__(cove, qtbot, made(cove, ImagesView))
        self._images = made(cove, ImagesView)

    def wait_until_used(self, name: str) -> None:
        """Wait until the window shows a container that uses the image."""
        rows = self._cove.image_model.items
        self._qtbot.waitUntil(lambda: any(row.tag == name and row.image.used_by for row in rows()), timeout=LIMIT_MS)

    def wait_until_layers(self) -> list[str]:
        layers = self._images.card.layers
        self._qtbot.waitUntil(lambda: bool(layers.layers), timeout=LIMIT_MS)
        return [layer.step for layer in layers.layers]

    def choose_more(self, text: str) -> None:
        """An entry of the menu of the image that is shown."""
        self._hands.click(self._images.card.more)
        self._hands.choose(self._hands.open_menu(), text)

    def platforms(self) -> dict[str, str]:
        """What the visible Platforms tab says of each."""
        said = [label.text() for label in self._images.card.platforms.findChildren(QLabel) if label.isVisible()]
        found = {}
        for name, words in pairwise(said):
            if "/" in name:
                found[name] = words
        return found

    def delete_by_menu(self) -> None:
        """Delete… in the menu of the image that is shown."""
        self._hands.click(self._images.card.more)
        self._hands.choose(self._hands.open_menu(), "Delete…")


class VolumesPage(TablePage, FilesPart):
    def __init__(self, cove: Cove, qtbot: QtBot) -> None:
        super().__init__(cove, qtbot, made(cove, VolumesView))
        self._volumes = made(cove, VolumesView)

    @property
    def _files(self) -> FilesView:
        return self._volumes.card.files

    def wait_until_bin_has(self, count: int) -> None:
        """Wait until the page's button to the bin says that."""

        def said() -> list[str]:
            return [b.text() for b in self._volumes.findChildren(QAbstractButton) if b.isVisible()]

        self._qtbot.waitUntil(lambda: f"Bin {count}" in said(), timeout=LIMIT_MS)

    def press_on_card(self, name: str) -> None:
        """Click a button in the head of the volume that is shown."""
        self._hands.click(button(self._volumes.card, name))

    def press_in_files(self, name: str) -> None:
        """Click a button of the Files tab."""
        self._hands.click(button(self._files, name))

    def choose_more(self, text: str) -> None:
        """An entry of the menu of the volume that is shown."""
        self._hands.click(self._volumes.card.more)
        self._hands.choose(self._hands.open_menu(), text)

    def wait_until_measured(self, name: str, at_least: int) -> None:
        """Wait until the page knows that the volume has that many bytes."""

        def look() -> bool:
            return any(v.name == name and (v.size or 0) >= at_least for v in self._volumes.rows.items())

        self._qtbot.waitUntil(look, timeout=LIMIT_MS)


class BinPage(TablePage):
    def __init__(self, cove: Cove, qtbot: QtBot) -> None:
        super().__init__(cove, qtbot, made(cove, BinView))


class ComposePage(TablePage):
    def __init__(self, cove: Cove, qtbot: QtBot) -> None:
        super().__init__(cove, qtbot, made(cove, ComposeView))
        self._compose = made(cove, ComposeView)

    def wait_until_logged(self, text: str) -> None:
        log = self._compose.card.log.view
        self._qtbot.waitUntil(lambda: any(text in line for line in log.shown_texts()), timeout=LIMIT_MS)

    def logged(self) -> set[str]:
        """The lines that are shown, each once."""
        return set(self._compose.card.log.view.shown_texts())

    def choose_service(self, text: str) -> None:
        """Whose lines the view of logs shows."""
        self._hands.click(self._compose.card.log.which)
        self._hands.choose(self._hands.open_menu(), text)

    def choose_service_by_keys(self, text: str) -> None:
        which = self._compose.card.log.which
        which.setFocus(Qt.FocusReason.TabFocusReason)
        self.press(Qt.Key.Key_Space)
        self._hands.choose_by_keys(self._hands.open_menu(), text)

    def graph(self) -> dict[str, tuple[int, str]]:
        """By service: where it stands from left to right, and what is said of it."""
        shown = [thing for thing in self._compose.card.graph.canvas.things.values() if thing.isVisible()]
        places = sorted({thing.x() for thing in shown})
        return {thing.text(): (places.index(thing.x()), thing.accessibleName()) for thing in shown}

    def click_service(self, name: str) -> None:
        self._hands.click(button(self._compose.card.graph, name))

    @property
    def file(self) -> str:
        """The text of the compose file that is shown."""
        return self._compose.card.file.text.toPlainText()

    @property
    def marked_lines(self) -> list[int]:
        """The lines of the compose file that are marked, from 1."""
        return [mark.cursor.blockNumber() + 1 for mark in self._compose.card.file.text.extraSelections()]

    def wait_until_file_says(self, words: str) -> None:
        said = self._compose.card.file.said
        self._qtbot.waitUntil(lambda: words in said.text(), timeout=LIMIT_MS)

    def edit(self, old: str, new: str) -> None:
        """Put `new` in place of the only `old` in the compose file: find it, select it by keys, type."""
        text = self._compose.card.file.text
        assert self.file.count(old) == 1, self.file
        self._hands.click(text.viewport())
        self.press(Qt.Key.Key_Home, CONTROL)
        for _ in range(self.file.index(old)):
            self.press(Qt.Key.Key_Right)
        for _ in old:
            self.press(Qt.Key.Key_Delete)
        self._hands.type(new)

    @property
    def can_apply(self) -> bool:
        return self._compose.card.file.apply.isEnabled()

    def drop(self, path: Path) -> None:
        """Drop a file of this computer on the page."""
        data = QMimeData()
        data.setUrls([QUrl.fromLocalFile(str(path))])
        at = self._compose.rect().center()
        enter = QDragEnterEvent(at, Qt.DropAction.CopyAction, data, LEFT, NONE)
        for event in (enter, QDropEvent(QPointF(at), Qt.DropAction.CopyAction, data, LEFT, NONE)):
            QApplication.sendEvent(self._compose, event)
            assert event.isAccepted()

    def click_resource(self, name: str) -> None:
        self._hands.click(button(self._compose.card.resources, name))


class CostPage:
    def __init__(self, cove: Cove, qtbot: QtBot) -> None:
        self._cove, self._qtbot, self._hands = cove, qtbot, Hands(qtbot)
        self._page = made(cove, CostView)

    def wait_until_measured(self) -> None:
        self._qtbot.waitUntil(lambda: self._page.costs is not None, timeout=LIMIT_MS)

    def measure_again(self) -> None:
        """Press Measure again and wait for other figures than those before."""
        before = self._page.costs
        self._hands.click(self._page.again)
        self._qtbot.waitUntil(lambda: self._page.costs is not before, timeout=LIMIT_MS)

    def parts(self) -> dict[str, dict[str, float]]:
        """What each bar is made of."""
        costs = self._page.costs
        assert costs is not None
        bars = {"memory": costs.memory, "cpu": costs.cpu, "disk": costs.disk}
        return {name: {part.name: part.amount for part in parts} for name, parts in bars.items()}

    def said(self, bar: str) -> str:
        """What the bar says to a screen reader."""
        card = {"memory": self._page.memory, "cpu": self._page.cpu, "disk": self._page.disk}[bar]
        return card.bar.accessibleName()

    def choose(self, name: str) -> None:
        """Click a name in a legend. New legends appear a turn of the loop after their figures."""
        self._qtbot.waitUntil(lambda: button(self._page, name).isVisible(), timeout=LIMIT_MS)
        self._hands.click(button(self._page, name))

    def measure_starts(self) -> str:
        """Press Measure it; returns the time of a container's start."""
        card = self._page.start
        self._page.findChildren(QScrollArea)[0].ensureWidgetVisible(card.measure)
        self._hands.click(card.measure)
        self._qtbot.waitUntil(card.measure.isEnabled, timeout=LIMIT_MS)
        return card.container.text()

    def tab_stops(self) -> list[str]:
        return self._hands.tab_stops(self._page)


class TroubleshootPage:
    def __init__(self, cove: Cove, qtbot: QtBot) -> None:
        self._qtbot, self._hands = qtbot, Hands(qtbot)
        self._page = made(cove, TroubleshootView)

    def wait_until_checked(self) -> None:
        self._qtbot.waitUntil(lambda: self._page.again.isEnabled() and bool(self._page.findings), timeout=LIMIT_MS)

    def grades(self) -> dict[str, Grade]:
        """The name of each check, and how it ended."""
        return {finding.name: finding.grade for finding in self._page.findings}

    def texts(self) -> list[str]:
        return [label.text() for label in self._page.findChildren(QLabel)]

    def check_again(self) -> None:
        """Press Check again and wait for other findings than those before."""
        before = self._page.findings
        self._hands.click(self._page.again)
        self._qtbot.waitUntil(lambda: self._page.findings is not before, timeout=LIMIT_MS)


class NetworksPage(TablePage):
    def __init__(self, cove: Cove, qtbot: QtBot) -> None:
        super().__init__(cove, qtbot, made(cove, NetworksView))
        self._networks = made(cove, NetworksView)
        self.map = NetworkMapPart(qtbot, self._networks)

    def show_list(self) -> None:
        self._hands.click(button(self._networks.way, "List"))

    def show_map(self) -> None:
        self._hands.click(button(self._networks.way, "Map"))

    @property
    def is_list(self) -> bool:
        return self._networks.listing.isVisible()

    def switch(self, name: str) -> None:
        """Click a switch of the map: Volumes or Traffic."""
        self._hands.click(button(self._networks, name))

    def join(self, container: str) -> None:
        """Connect… and a container of its menu, for the network that is shown."""
        self._hands.click(self._networks.card.join)
        self._hands.choose(self._hands.open_menu(), container)

    def wait_until_member(self, container: str, address: str) -> None:
        """Wait until the network that is shown lists the container with its address."""

        def look() -> bool:
            labels = [label.text() for label in self._networks.card.members.findChildren(QLabel)]
            links = [link.text() for link in self._networks.card.members.findChildren(QAbstractButton)]
            return container in links and any(address in text for text in labels)

        self._qtbot.waitUntil(look, timeout=LIMIT_MS)

    def wait_until_inspected(self, text: str) -> None:
        """Wait until the inspect data of the network that is shown has that text."""
        shown = self._networks.card.inspect.text
        self._qtbot.waitUntil(lambda: shown.isVisible() and text in shown.toPlainText(), timeout=LIMIT_MS)

    def leave(self, container: str) -> None:
        self._hands.click(button(self._networks.card.members, f"Disconnect: {container}"))


class NetworkMapPart:
    """The map of the networks: things by what they say to a screen reader."""

    def __init__(self, qtbot: QtBot, page: NetworksView) -> None:
        self._qtbot, self._hands, self._view = qtbot, Hands(qtbot), page.map

    def names(self) -> list[str]:
        """What is on the map, in the order of Tab."""
        return [thing.accessibleName() for thing in self._view.map.things.values() if thing.isVisible()]

    def thing(self, begins: str) -> Thing:
        """Wait for the thing whose name begins so, and scroll to it."""
        self._qtbot.waitUntil(lambda: any(name.startswith(begins) for name in self.names()), timeout=LIMIT_MS)
        things = self._view.map.things.values()
        found = next(thing for thing in things if thing.accessibleName().startswith(begins))
        self._view.view.ensureWidgetVisible(found)
        return found

    def wait_until_gone(self, begins: str) -> None:
        self._qtbot.waitUntil(lambda: not any(name.startswith(begins) for name in self.names()), timeout=LIMIT_MS)

    def click(self, begins: str) -> None:
        self._hands.click(self.thing(begins))

    def tip(self, begins: str) -> str:
        """What is shown while the pointer rests on the thing."""
        thing = self.thing(begins)
        self._hands.move(thing)
        at = thing.rect().center()
        QApplication.sendEvent(thing, QHelpEvent(QEvent.Type.ToolTip, at, thing.mapToGlobal(at)))
        return QToolTip.text()

    def said_on_line(self, begins: str) -> tuple[str, str]:
        """What stands on a container's line: sent and received."""
        _, network_id, container_id = self.thing(begins).key.split()
        return self._view.map.said_on(network_id, container_id)

    def wait_until_line(self, begins: str, holds: Callable[[str, str], bool]) -> None:
        """Wait until `holds(sent, received)` of what stands on a container's line."""
        self._qtbot.waitUntil(lambda: holds(*self.said_on_line(begins)), timeout=LIMIT_MS)

    def press(self, key: Qt.Key, modifiers: Qt.KeyboardModifier = NONE) -> None:
        self._hands.key(self._view.window(), key, modifiers)

    def focus(self, begins: str) -> None:
        self.thing(begins).setFocus(Qt.FocusReason.TabFocusReason)

    @property
    def focused(self) -> str:
        focused = QApplication.focusWidget()
        return "" if focused is None else focused.accessibleName()

    @property
    def scale(self) -> float:
        return self._view.map.scale

    def is_in_sight(self, begins: str) -> bool:
        """Whether the thing is inside the visible part of the map."""
        thing = next(t for t in self._view.map.things.values() if t.accessibleName().startswith(begins))
        viewport = self._view.view.viewport()
        return viewport.rect().contains(thing.mapTo(viewport, thing.rect().center()))

    def count_paints(self) -> list[QRect]:
        """Collect what is painted of the map from now on."""
        painted: list[QRect] = []

        class Watch(QObject):
            def eventFilter(self, _watched: QObject, event: QEvent) -> bool:
                if isinstance(event, QPaintEvent):
                    painted.append(event.rect())
                return False

        watch = Watch(self._view.map)
        self._view.map.installEventFilter(watch)
        return painted


class RunPage:
    def __init__(self, cove: Cove, qtbot: QtBot) -> None:
        self._cove, self._qtbot, self._hands = cove, qtbot, Hands(qtbot)
        self._page = made(cove, RunView)

    def wait_until_over(self) -> None:
        self._qtbot.waitUntil(lambda: self._cove.runs.all()[-1].is_over, timeout=LIMIT_MS)

    def steps(self) -> dict[str, StepState]:
        return {name: step.state for name, step in self._cove.runs.all()[-1].steps.items()}

    def said(self, step: str) -> str:
        """The accessible text of the step's mark."""
        return self._page.steps.marks[step].accessibleName()

    def layers(self) -> list[str]:
        return [layer.word for layer in self._cove.runs.all()[-1].layers.layers.values()]

    def wait_until_printed(self, text: str) -> None:
        self._qtbot.waitUntil(lambda: text in self._page.printed.text.toPlainText(), timeout=LIMIT_MS)

    def copy_command(self) -> None:
        """Press Copy beside the same command."""
        self._hands.click(button(self._page.well, "Copy"))

    @property
    def error(self) -> str:
        return self._page.error.title.text() if self._page.error.isVisible() else ""

    @property
    def reason(self) -> str:
        """The sentence under the error."""
        return self._page.error.why.text()

    def remedies(self) -> list[str]:
        return [b.text() for b in self._page.error.buttons if b.isVisible()]

    def choose_remedy(self, text: str) -> None:
        self._qtbot.waitUntil(lambda: text in self.remedies(), timeout=LIMIT_MS)
        self._hands.click(button(self._page.error, text))
