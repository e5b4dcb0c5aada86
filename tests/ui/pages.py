"""Page objects: what a user sees and does in the window. Tests use these classes, which act by mouse and keyboard."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TypeVar

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QPoint, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QAbstractButton, QApplication, QLabel, QPlainTextEdit, QWidget
from pytestqt.qtbot import QtBot

from desktop.client.run import StepState
from desktop.diagnose.report import Grade
from desktop.ui.activity.page import ActivityPage as ActivityView
from desktop.ui.compose.page import ComposePage as ComposeView
from desktop.ui.containers.detail import DetailPage as DetailView
from desktop.ui.containers.log_view import LINE
from desktop.ui.containers.model import Row
from desktop.ui.containers.page import ContainersPage as ContainersView
from desktop.ui.feed.engine import EnginePhase
from desktop.ui.images.page import ImagesPage as ImagesView
from desktop.ui.kit.buttons import CheckBox
from desktop.ui.kit.dialogs import Dialog
from desktop.ui.kit.page import Page
from desktop.ui.kit.toasts import Toast
from desktop.ui.networks.page import NetworksPage as NetworksView
from desktop.ui.run.options import RunWish
from desktop.ui.run.page import RunPage as RunView
from desktop.ui.shell.app import Cove
from desktop.ui.shell.pages import spec_of
from desktop.ui.shell.palette import Palette
from desktop.ui.troubleshoot.page import TroubleshootPage as TroubleshootView
from desktop.ui.volumes.page import VolumesPage as VolumesView
from tests.ui.finding import button, field, indexes, texts
from tests.ui.hands import CONTROL, LIMIT_MS, NONE, RIGHT, Hands
from tests.ui.tables import TablePage

TABS = {"logs": "Logs", "terminal": "Terminal", "overview": "Overview", "inspect": "Inspect"}


P = TypeVar("P", bound=Page)
KEYS: Mapping[type[Page], str] = {
    ContainersView: "containers",
    DetailView: "container",
    RunView: "run",
    ImagesView: "images",
    VolumesView: "volumes",
    ComposeView: "compose",
    TroubleshootView: "troubleshoot",
    NetworksView: "networks",
    ActivityView: "activity",
}


def made(cove: Cove, kind: type[P]) -> P:
    """The page of that class, which is made now if nobody has been there."""
    page = cove.window.page(KEYS[kind])
    assert isinstance(page, kind)
    return page


class Window:
    """The whole window on one engine."""

    def __init__(self, cove: Cove, qtbot: QtBot) -> None:
        self._cove, self._qtbot, self._hands = cove, qtbot, Hands(qtbot)
        self.containers = ContainersPage(cove, qtbot)
        self.images = ImagesPage(cove, qtbot)
        self.troubleshoot = TroubleshootPage(cove, qtbot)
        self.compose = ComposePage(cove, qtbot)
        self.volumes = VolumesPage(cove, qtbot)
        self.networks = NetworksPage(cove, qtbot)
        self.container = ContainerPage(cove, qtbot)
        self.run_page = RunPage(cove, qtbot)
        self.activity = ActivityPage(cove, qtbot)
        self.palette = PalettePage(qtbot, cove.palette)

    def wait_until_connected(self) -> None:
        self._qtbot.waitUntil(lambda: self.phase is EnginePhase.RUNNING, timeout=LIMIT_MS)
        self._cove.window.activateWindow()
        self._qtbot.waitUntil(self._cove.window.isActiveWindow, timeout=LIMIT_MS)

    def wait_until_lost(self) -> None:
        self._qtbot.waitUntil(lambda: self.phase is EnginePhase.LOST, timeout=LIMIT_MS)

    @property
    def phase(self) -> EnginePhase:
        return self._cove.control.facts.phase

    @property
    def banner(self) -> str:
        page = made(self._cove, ContainersView)
        return page.banner.title.text() if page.banner.isVisible() else ""

    @property
    def banner_sentence(self) -> str:
        return made(self._cove, ContainersView).banner.sentence.text()

    @property
    def right_edge(self) -> int:
        """The window's right edge on the screen."""
        return self._cove.window.mapToGlobal(QPoint(self._cove.window.width(), 0)).x()

    @property
    def is_focus_in_a_message(self) -> bool:
        focused = self._cove.window.focusWidget()
        return focused is not None and any(t.isAncestorOf(focused) for t in self._cove.window.findChildren(Toast))

    def dialog_texts(self) -> list[str]:
        """The texts to copy in the open dialog."""
        return [text.toPlainText() for text in self.dialog().findChildren(QPlainTextEdit)]

    @property
    def page(self) -> str:
        """The page that is shown."""
        return self._cove.window.place.page

    @property
    def size(self) -> tuple[int, int]:
        return self._cove.window.width(), self._cove.window.height()

    def hide(self) -> None:
        """Hide the window, as closing it does while there is a tray."""
        self._cove.window.hide()

    def show(self) -> None:
        self._cove.show_window()
        self._qtbot.waitUntil(self._cove.window.isVisible, timeout=LIMIT_MS)

    def resize(self, width: int, height: int) -> None:
        self._cove.window.resize(width, height)
        self._qtbot.waitUntil(lambda: self.size == (width, height), timeout=LIMIT_MS)

    def key(self, key: Qt.Key, modifiers: Qt.KeyboardModifier = NONE) -> None:
        self._hands.key(self._cove.window, key, modifiers)

    def go(self, page: str) -> None:
        """Click a page in the sidebar."""
        view = self._cove.window.sidebar.view
        index = next(i for i in indexes(view.model()) if str(i.data()).startswith(spec_of(page).title))
        self._hands.click(view.viewport(), view.visualRect(index).center())
        assert self.page == page

    def press_button(self, name: str) -> None:
        """Click a button of the top bar."""
        self._hands.click(button(self._cove.window.top, name))

    def open_container(self, name: str, tab: str) -> ContainerPage:
        if self.page != "containers":
            self.go("containers")
        self.containers.click(name, "name")
        self.container.choose_tab(TABS[tab])
        return self.container

    def run(self, wish: RunWish) -> RunPage:
        """Fill in the run dialog and press Run."""
        before = len(self._cove.runs.all())
        self.fill_in(wish)
        self.press("Run")
        self._qtbot.waitUntil(lambda: len(self._cove.runs.all()) > before, timeout=LIMIT_MS)
        return self.run_page

    def fill_in(self, wish: RunWish) -> None:
        """Open the run dialog and fill it in."""
        self.press_button("Run…")
        dialog = self.dialog()
        self._hands.fill(field(dialog, "Image"), wish.image)
        self._hands.fill(field(dialog, "Name"), wish.name)
        self._hands.fill(field(dialog, "Command"), wish.command)
        for port in wish.ports:
            self._hands.click(button(dialog, "Add a port"))
            self._hands.type(port.host_port)
            self._hands.key(self._cove.window, Qt.Key.Key_Tab)
            self._hands.type(port.port)
        for name, value in wish.environment:
            self._hands.click(button(dialog, "Add a variable"))
            self._hands.type(name)
            self._hands.key(self._cove.window, Qt.Key.Key_Tab)
            self._hands.type(value)

    def texts(self) -> list[str]:
        """All that the window says now."""
        return texts(self._cove.window)

    def open_quick_run(self) -> None:
        """Open the palette as its own window, as a second start with `--quick-run` does."""
        self._cove.on_wish("quick-run")
        assert self._cove.quick is not None
        self._cove.quick.activateWindow()

    @property
    def quick_run(self) -> PalettePage:
        assert self._cove.quick is not None
        return PalettePage(self._qtbot, self._cove.quick)

    def dialog(self) -> Dialog:
        """The open dialog."""
        return next(d for d in self._cove.window.findChildren(Dialog) if d.isVisible())

    @property
    def run_count(self) -> int:
        """How many runs were started."""
        return len(self._cove.runs.all())

    def children(self, kind: type[QWidget]) -> list[QWidget]:
        """The widgets of a class inside the window."""
        return list(self._cove.window.findChildren(kind))

    @property
    def has_dialog(self) -> bool:
        return any(d.isVisible() for d in self._cove.window.findChildren(Dialog))

    def dialog_words(self) -> list[str]:
        return [label.text() for label in self.dialog().findChildren(QLabel)]

    def answer(self, name: str, text: str, verb: str, more: Mapping[str, str] | None = None) -> None:
        """Fill in the fields of the open dialog and press its verb."""
        for each, value in {name: text, **(more or {})}.items():
            self._hands.fill(field(self.dialog(), each), value)
        self.press(verb)

    def _boxes(self) -> dict[str, QAbstractButton]:
        boxes = [b for b in self.dialog().findChildren(CheckBox) if b.isVisible()]
        return {box.text(): box for box in boxes}

    def ticks(self) -> dict[str, bool]:
        """The check boxes of the open dialog."""
        return {text: box.isChecked() for text, box in self._boxes().items()}

    def tick(self, text: str) -> None:
        """Click a check box of the open dialog."""
        self._hands.click(self._boxes()[text], QPoint(8, 8))

    def press_verb(self, begins: str) -> None:
        """Click the button of the open dialog whose text begins so."""
        shown = [b for b in self.dialog().findChildren(QAbstractButton) if b.isVisible()]
        self._hands.click(next(b for b in shown if b.text().startswith(begins) and not isinstance(b, CheckBox)))

    def press(self, text: str) -> None:
        """Click the button of the open dialog that says `text`."""
        self._hands.click(button(self.dialog(), text))

    @property
    def clipboard(self) -> str:
        return QGuiApplication.clipboard().text()

    def wait_until_told(self, title: str) -> None:
        """Wait for a message of that title."""
        self._qtbot.waitUntil(lambda: title in self.toasts(), timeout=LIMIT_MS)

    def toasts(self) -> list[str]:
        return [message.title for message in self._cove.window.toasts.shown()]


class PalettePage:
    """The palette of the window, opened by its shortcut, or the one in its own window."""

    def __init__(self, qtbot: QtBot, palette: Palette) -> None:
        self._qtbot, self._hands, self._palette = qtbot, Hands(qtbot), palette

    def type(self, text: str) -> list[tuple[str, str]]:
        """Open it with Ctrl+K if needed and replace its text; returns the offered entries as (section, title)."""
        palette = self._palette
        if not palette.isVisible():
            self._hands.key(palette.window(), Qt.Key.Key_K, CONTROL)
        self._qtbot.waitUntil(palette.field.hasFocus, timeout=LIMIT_MS)
        self._hands.fill(palette.field, text)
        return [(entry.section, entry.title) for entry in palette.entries()]

    @property
    def preselected(self) -> str:
        """The title of the row that Enter would take; empty if there is none."""
        index = self._palette.view.currentIndex()
        return str(index.data()) if index.isValid() else ""

    def press(self, key: Qt.Key) -> None:
        self._hands.key(self._palette.window(), key)

    @property
    def is_open(self) -> bool:
        return self._palette.isVisible()


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


class ContainersPage:
    def __init__(self, cove: Cove, qtbot: QtBot) -> None:
        self._cove, self._qtbot, self._hands = cove, qtbot, Hands(qtbot)
        self._page = made(cove, ContainersView)
        self._table = self._page.tree

    def rows(self) -> dict[str, str]:
        """The visible names, projects too, each with the state that its row shows."""
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

    def wait_until_uses(self, name: str, at_least: int) -> None:
        """Wait until the window knows that the container uses that many bytes of memory."""

        def look() -> bool:
            row = next((r for r in self._cove.model.rows() if r.container.name == name), None)
            return row is not None and row.latest is not None and row.latest.memory_bytes >= at_least

        self._qtbot.waitUntil(look, timeout=LIMIT_MS)

    def sort_by(self, title: str) -> None:
        """Click a column's head."""
        header, model = self._table.header(), self._table.filter
        titles = [model.headerData(n, Qt.Orientation.Horizontal) for n in range(header.count())]
        x = header.sectionPosition(titles.index(title)) + 20
        self._hands.click(header.viewport(), QPoint(x, header.height() // 2))

    def top_names(self) -> list[str]:
        """The rows of the first level, in order."""
        model = self._table.filter
        return [str(model.index(n, 0).data()) for n in range(model.rowCount())]

    def filter(self, text: str) -> None:
        """Type into the page's filter."""
        self._hands.fill(self._page.search, text)

    def choose_segment(self, name: str) -> None:
        self._hands.click(button(self._page.segments, name))

    def _index(self, name: str) -> QModelIndex:
        """The index of a row, scrolled into view."""
        self._qtbot.waitUntil(self._table.isVisible, timeout=LIMIT_MS)
        index = next((i for i in indexes(self._table.filter) if i.data() == name), None)
        assert index is not None, f"{name} is not among the rows {list(self.rows())}"
        self._table.scrollTo(index)
        return index

    def click(self, name: str, what: str, value: str = "", modifiers: Qt.KeyboardModifier = NONE) -> None:
        """Click a part of the row `name`: check, name, port, why, expand or action (`value` names which)."""
        index = self._index(name)
        rect = self._table.visualRect(index)
        viewport = self._table.viewport()
        self._hands.move(viewport, rect.center())  # the actions appear while the row is hovered
        places = self._table.places(index)
        place = next((p for p in places if p.what == what and value in ("", p.value)), None)
        assert place is not None, f"the row has no {what} {value}, but {[(p.what, p.value) for p in places]}"
        at = QPoint(place.box.center().x(), rect.y() + place.box.center().y())
        self._hands.click(viewport, at, modifiers=modifiers)

    def check(self, *names: str) -> None:
        """Click the boxes of these rows."""
        for name in names:
            self.click(name, "check")

    def check_all(self) -> None:
        """Click the check box in the table's head."""
        self._hands.click(self._table.header().viewport(), QPoint(19, self._table.header().height() // 2))

    def menu_on(self, name: str) -> list[str]:
        """Right-click the row; returns what its menu offers."""
        index = self._index(name)
        at = self._table.visualRect(index).center()
        viewport = self._table.viewport()
        self._hands.click(viewport, at, RIGHT)
        _send_context_menu(viewport, at)
        return [entry.text() for entry in self._hands.open_menu().actions() if not entry.isSeparator()]

    def choose(self, text: str) -> None:
        """Click an entry of the open menu."""
        self._hands.choose(self._hands.open_menu(), text)

    def press_on(self, name: str, key: Qt.Key, modifiers: Qt.KeyboardModifier = NONE) -> None:
        """Click the row in the image column, which has no action, then press `key`."""
        index = self._index(name)
        rect = self._table.visualRect(index)
        x = self._table.header().sectionPosition(1) + 20
        self._hands.click(self._table.viewport(), QPoint(x, rect.center().y()))
        self._qtbot.waitUntil(self._table.hasFocus, timeout=LIMIT_MS)
        self.press(key, modifiers)

    def press(self, key: Qt.Key, modifiers: Qt.KeyboardModifier = NONE) -> None:
        self._hands.key(self._cove.window, key, modifiers)

    def press_in_bar(self, text: str) -> None:
        """Click a button of the bar for selected rows."""
        assert self._page.bulk is not None
        self._hands.click(button(self._page.bulk, text))

    @property
    def bulk_text(self) -> str:
        bulk = self._page.bulk
        return bulk.count.text() if bulk is not None and bulk.isVisible() else ""

    @property
    def has_focus(self) -> bool:
        return self._table.hasFocus()

    def is_in_sight(self, name: str) -> bool:
        index = next(i for i in indexes(self._table.filter) if i.data() == name)
        return self._table.visualRect(index).intersects(self._table.viewport().rect())

    def bar_offers(self) -> set[str]:
        """The enabled actions of the bar for selected rows."""
        assert self._page.bulk is not None
        buttons = [b for b in self._page.bulk.findChildren(QAbstractButton) if b.isVisible() and b.text()]
        return {b.accessibleName() for b in buttons if b.isEnabled()}

    @property
    def filter_text(self) -> str:
        return self._page.search.text()

    def count_of(self, segment: str) -> int:
        """The count beside a segment's name."""
        shown = button(self._page.segments, segment)
        return int(getattr(shown, "count", None) or 0)

    @property
    def segment(self) -> str:
        """The chosen segment."""
        chosen = [b for b in self._page.segments.findChildren(QAbstractButton) if b.isChecked()]
        return chosen[0].text()

    @property
    def accessible_texts(self) -> list[str]:
        return [str(i.data(Qt.ItemDataRole.AccessibleTextRole)) for i in indexes(self._table.filter)]


def _send_context_menu(viewport: QWidget, at: QPoint) -> None:
    """Send the context menu event, which Linux platforms send at the press; the offscreen platform does not."""
    from PySide6.QtGui import QContextMenuEvent

    if QApplication.activePopupWidget() is None:
        event = QContextMenuEvent(QContextMenuEvent.Reason.Mouse, at, viewport.mapToGlobal(at))
        QApplication.sendEvent(viewport, event)


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

    def delete_by_menu(self) -> None:
        """Delete… in the menu of the image that is shown."""
        self._hands.click(self._images.card.more)
        self._hands.choose(self._hands.open_menu(), "Delete…")


class VolumesPage(TablePage):
    def __init__(self, cove: Cove, qtbot: QtBot) -> None:
        super().__init__(cove, qtbot, made(cove, VolumesView))
        self._volumes = made(cove, VolumesView)

    def wait_until_measured(self, name: str, at_least: int) -> None:
        """Wait until the page knows that the volume has that many bytes."""

        def look() -> bool:
            return any(v.name == name and (v.size or 0) >= at_least for v in self._volumes.rows.items())

        self._qtbot.waitUntil(look, timeout=LIMIT_MS)


class ComposePage(TablePage):
    def __init__(self, cove: Cove, qtbot: QtBot) -> None:
        super().__init__(cove, qtbot, made(cove, ComposeView))
        self._compose = made(cove, ComposeView)

    def wait_until_logged(self, text: str) -> None:
        log = self._compose.card.log.view
        self._qtbot.waitUntil(lambda: any(text in line for line in log.shown_texts()), timeout=LIMIT_MS)


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


class ContainerPage:
    def __init__(self, cove: Cove, qtbot: QtBot) -> None:
        self._cove, self._qtbot, self._hands = cove, qtbot, Hands(qtbot)
        self._page = made(cove, DetailView)

    @property
    def name(self) -> str:
        """The name in the head."""
        return self._page.name.text()

    def choose_tab(self, name: str) -> None:
        self._hands.choose_tab(self._page.tabs, name)

    def click_port(self, port: int) -> None:
        self._hands.click(button(self._page, str(port)))

    @property
    def foot(self) -> str:
        """The line below the log."""
        logs = self._page.logs
        return " ".join(label.text() for label in (logs._lines, logs._from, logs._state))

    def press_in_log(self, key: Qt.Key) -> None:
        view = self._page.logs.view
        self._hands.click(view.viewport(), QPoint(200, view.viewport().height() - 12))
        self._hands.key(self._cove.window, key)

    def type_in_search(self, text: str) -> None:
        self._hands.fill(self._page.logs.search, text)

    def wait_until_counted(self, text: str) -> None:
        """Wait until the search field's counter says that."""
        self._qtbot.waitUntil(lambda: self._page.logs._count.text() == text, timeout=LIMIT_MS)

    def press_button(self, name: str) -> None:
        """Click a button of the log."""
        self._hands.click(button(self._page.logs, name))

    def is_in_sight(self, text: str) -> bool:
        """Whether that line of the log is visible now."""
        view = self._page.logs.view
        row, top = self.log().index(text), view.verticalScrollBar().value() // LINE
        return top <= row <= top + view.viewport().height() // LINE

    def export(self) -> None:
        """Press Export… of the log."""
        self._hands.click(button(self._page.logs, "Export"))

    def log(self) -> list[str]:
        return self._page.logs.view.shown_texts()

    def wait_until_logged(self, text: str) -> None:
        self._qtbot.waitUntil(lambda: any(text in line for line in self.log()), timeout=LIMIT_MS)

    def find_in_log(self, text: str) -> tuple[int, int]:
        """Search for a text; returns the counter of hits once the whole text is typed."""
        found: list[tuple[int, int]] = []
        self._page.logs.view.found.connect(lambda at, of: found.append((at, of)))
        self._hands.fill(self._page.logs.search, text)
        self._qtbot.waitUntil(lambda: bool(found), timeout=LIMIT_MS)
        return found[-1]

    def choose_stream(self, name: str) -> None:
        self._hands.click(button(self._page.logs.streams, name))

    @property
    def why(self) -> str:
        card = self._page.logs.why
        return card.title.text() if card.isVisible() else ""

    @property
    def explanation(self) -> str:
        """The sentence under the title of the card."""
        card = self._page.logs.why
        return card.sentence.text() if card.isVisible() else ""

    def type(self, text: str) -> None:
        self._hands.click(self._page.terminal.view)
        self._hands.type(text)
        self._hands.key(self._cove.window, Qt.Key.Key_Return)

    def wait_until_terminal_shows(self, text: str) -> None:
        self._qtbot.waitUntil(lambda: text in self._page.terminal.view.text(), timeout=LIMIT_MS)

    def terminal_size(self) -> tuple[int, int]:
        return self._page.terminal.view.size_in_cells

    def wait_until_inspected(self) -> str:
        self._qtbot.waitUntil(lambda: bool(self._page.inspect.text.toPlainText()), timeout=LIMIT_MS)
        return self._page.inspect.text.toPlainText()

    def copied_command(self, begins: str) -> list[str]:
        """Click Copy beside the command once it has the given beginning; returns the words as a shell splits them."""
        well = self._page.overview.well
        self._qtbot.waitUntil(lambda: begins in well.text(), timeout=LIMIT_MS)
        QApplication.processEvents()  # lays out the cards above
        self._page.overview.ensureWidgetVisible(well)
        self._hands.click(button(well, "Copy"))
        copied = QGuiApplication.clipboard().text()
        shown = shlex.split(well.text().replace("\\\n", ""))
        assert shown == shlex.split(copied), f"shown is {shown}, copied is {copied!r}"
        return shown


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

    def remedies(self) -> list[str]:
        return [b.text() for b in self._page.error.buttons if b.isVisible()]

    def choose_remedy(self, text: str) -> None:
        self._qtbot.waitUntil(lambda: text in self.remedies(), timeout=LIMIT_MS)
        self._hands.click(button(self._page.error, text))
