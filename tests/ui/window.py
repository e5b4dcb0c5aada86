"""The page object of the whole window, with its palette: what a user sees and does there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import (
    QAbstractButton,
    QApplication,
    QFileDialog,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QScrollArea,
    QWidget,
)
from pytestqt.qtbot import QtBot

from desktop.ui.containers.page import ContainersPage as ContainersView
from desktop.ui.feed.engine import EnginePhase
from desktop.ui.kit.buttons import CheckBox
from desktop.ui.kit.dialogs import Dialog
from desktop.ui.kit.toasts import Toast
from desktop.ui.kit.words import tr
from desktop.ui.run.options import RunWish
from desktop.ui.settings.page import SettingsPage as SettingsView
from desktop.ui.shell.app import Cove
from desktop.ui.shell.pages import spec_of
from desktop.ui.shell.palette import Palette
from tests.ui.builds import BuildsPage
from tests.ui.clipping import clipped
from tests.ui.containers import ContainerPage, ContainersPage
from tests.ui.finding import button, field, indexes, texts
from tests.ui.hands import CONTROL, LIMIT_MS, NONE, Hands
from tests.ui.made import made
from tests.ui.pages import (
    ActivityPage,
    BinPage,
    ComposePage,
    CostPage,
    ImagesPage,
    NetworksPage,
    RunPage,
    TroubleshootPage,
    VolumesPage,
)
from tests.ui.registries import RegistriesPage
from tests.ui.settings import SettingsPage

TABS = {
    "logs": "Logs",
    "terminal": "Terminal",
    "files": "Files",
    "stats": "Stats",
    "processes": "Processes",
    "environment": "Mounts & environment",
    "overview": "Overview",
    "inspect": "Inspect",
}


class Window:
    """The whole window on one engine."""

    def __init__(self, cove: Cove, qtbot: QtBot) -> None:
        self._cove, self._qtbot, self._hands = cove, qtbot, Hands(qtbot)
        self.containers = ContainersPage(cove, qtbot)
        self.images = ImagesPage(cove, qtbot)
        self.troubleshoot = TroubleshootPage(cove, qtbot)
        self.cost = CostPage(cove, qtbot)
        self.builds = BuildsPage(cove, qtbot)
        self.registries = RegistriesPage(cove, qtbot)
        self.settings = SettingsPage(made(cove, SettingsView), qtbot)
        self.compose = ComposePage(cove, qtbot)
        self.volumes = VolumesPage(cove, qtbot)
        self.bin = BinPage(cove, qtbot)
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

    def wait_until_phase(self, phase: EnginePhase, limit_ms: int, among: Sequence[EnginePhase] = ()) -> None:
        """Wait until the window shows that, or it is `among` the phases that `note_phases` gives."""
        self._qtbot.waitUntil(lambda: self.phase is phase or phase in among, timeout=limit_ms)
        self._cove.window.activateWindow()
        self._qtbot.waitUntil(self._cove.window.isActiveWindow, timeout=LIMIT_MS)

    @property
    def phase(self) -> EnginePhase:
        return self._cove.control.facts.phase

    def catch_crashes(self) -> None:
        """Show errors that nobody catches, as `cove-desktop` does."""
        self._cove.crashes.install()

    def note_notices(self) -> list[tuple[str, str]]:
        """What the desktop is told from now on: titles and sentences."""
        notices: list[tuple[str, str]] = []
        self._cove.notices.told.connect(lambda message: notices.append((message.title, message.fact)))
        return notices

    def note_phases(self) -> list[EnginePhase]:
        """The phases of the engine that the window has shown, the present one and those that come."""
        phases = [self.phase]
        self._cove.control.facts_changed.connect(lambda facts: phases.append(facts.phase))
        return phases

    def note_traffic(self) -> list[float]:
        """Collect what all lines together carried, by each measurement from now on, in bytes per second."""
        carried: list[float] = []
        self._cove.session.carried.connect(
            lambda traffic: carried.append(sum(one.received + one.sent for one in traffic.values()))
        )
        return carried

    @property
    def measures_traffic(self) -> bool:
        """Whether the engine is asked for the traffic."""
        return self._cove.session.measures_traffic

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
    def focus_words(self) -> str:
        """What the widget with the focus says to a screen reader."""
        focused = self._cove.window.focusWidget()
        return "" if focused is None else focused.accessibleName()

    @property
    def zoom(self) -> int:
        return self._cove.theme.zoom

    @property
    def scheme(self) -> str:
        return self._cove.theme.scheme

    @property
    def is_sidebar_narrow(self) -> bool:
        return self._cove.window.sidebar.is_narrow

    def engine_menu(self) -> list[str]:
        """Open the menu of the engine's switch; returns what it offers."""
        self._hands.click(self._cove.window.sidebar.switch)
        return [entry.text() for entry in self._hands.open_menu().actions() if not entry.isSeparator()]

    def choose_in_menu(self, text: str) -> None:
        """Click an entry of the open menu."""
        self._hands.choose(self._hands.open_menu(), text)

    @property
    def size(self) -> tuple[int, int]:
        return self._cove.window.width(), self._cove.window.height()

    def save_as(self, path: Path) -> None:
        """Type a path into the open file dialog, confirm, and wait for the file."""
        self.choose_file(path)
        self._qtbot.waitUntil(lambda: path.exists() and path.stat().st_size > 0, timeout=LIMIT_MS)

    def choose_file(self, path: Path) -> None:
        """Type a path into the open file dialog, and confirm."""

        def shown() -> list[QFileDialog]:
            found = [w for w in QApplication.topLevelWidgets() if isinstance(w, QFileDialog)]
            found += self._cove.window.findChildren(QFileDialog)
            return [dialog for dialog in found if dialog.isVisible()]

        self._qtbot.waitUntil(lambda: bool(shown()), timeout=LIMIT_MS)
        dialog = shown()[0]
        name = dialog.findChild(QLineEdit, "fileNameEdit")
        assert name is not None
        self._hands.fill(name, str(path))
        self._hands.key(dialog, Qt.Key.Key_Return)
        self._qtbot.waitUntil(lambda: not shown(), timeout=LIMIT_MS)

    def close_for_good(self) -> None:
        """End all that the window does, as quitting does."""
        self._cove.close()

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
        index = next(i for i in indexes(view.model()) if str(i.data()).startswith(tr(spec_of(page).title)))
        self._hands.click(view.viewport(), view.visualRect(index).center())
        assert self.page == page

    def press_button(self, name: str) -> None:
        """Click a button of the top bar."""
        self._hands.click(button(self._cove.window.top, name))

    def open_container(self, name: str, tab: str) -> ContainerPage:
        if self.page != "containers":
            self.go("containers")
        self.containers.click(name, "name")
        self.container.choose_tab(tr(TABS[tab]).replace("&", "&&"))
        return self.container

    def open_project(self, name: str, says: str, tab: str = "") -> ComposePage:
        """Wait until the Compose page says `says` of a project, and choose it, and one of its tabs."""
        self.go("compose")
        self.compose.wait_until_says(name, says)
        self.compose.choose(name)
        if tab:
            self.compose.choose_tab(tab)
        return self.compose

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

    def wait_until_nothing_is_clipped(self) -> None:
        """Wait until no text is cut off."""

        def look() -> None:
            cut = clipped(self._cove.window)
            assert not cut, f"cut off on page {self.page}: {cut}"

        self._qtbot.waitUntil(look, timeout=LIMIT_MS)

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

    def wait_until_asked(self) -> None:
        """Wait until a dialog is open."""
        self._qtbot.waitUntil(lambda: self.has_dialog, timeout=LIMIT_MS)

    @property
    def is_work_done(self) -> bool:
        """Whether all that the window has asked of the engine is answered, and shown."""
        done = all(job.done() for job in self._cove.workers._jobs)
        QApplication.processEvents()
        return done

    def wait_until_answered(self) -> None:
        """Wait until no dialog is open, and those that were are gone."""
        self._qtbot.waitUntil(lambda: not self._cove.window.findChildren(Dialog), timeout=LIMIT_MS)

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

    def fill(self, name: str, text: str, *, beside: str = "") -> None:
        """Fill in one field of the open dialog; of several rows, in that where another field says `beside`."""
        places: list[QWidget] = [self.dialog()]
        if beside:
            fields = [f for f in self.dialog().findChildren(QLineEdit) if f.text() == beside]
            places = [row for f in fields if (row := f.parentWidget()) is not None]
            assert len(places) == 1, f"{len(places)} fields say {beside!r}"
        found = field(places[0], name)
        self._scroll_to(found)
        self._hands.fill(found, text)

    def _scroll_to(self, widget: QWidget) -> None:
        """Scroll the dialog until `widget` is in sight."""
        for area in self.dialog().findChildren(QScrollArea):
            if area.isAncestorOf(widget):
                area.ensureWidgetVisible(widget)

    def type(self, text: str) -> None:
        """Type into what has the focus."""
        self._hands.type(text)

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
        found = button(self.dialog(), text)
        self._scroll_to(found)
        self._hands.click(found)

    @property
    def clipboard(self) -> str:
        return QGuiApplication.clipboard().text()

    def wait_until_told(self, title: str) -> None:
        """Wait for a message of that title."""

        def is_told() -> None:
            assert title in self.toasts(), (
                f"told so far: {[(m.title, m.fact) for m in self._cove.window.toasts.messages]}"
            )

        self._qtbot.waitUntil(is_told, timeout=LIMIT_MS)

    def wait_until_busy(self, words: str) -> None:
        """Wait until the status bar tells of running work with these words."""
        task = self._cove.window.status.task
        self._qtbot.waitUntil(lambda: task.isVisible() and words in task.accessibleName(), timeout=LIMIT_MS)

    def click_task(self) -> None:
        """Click the running work in the status bar."""
        self._hands.click(self._cove.window.status.task)

    def press_in_message(self, text: str) -> None:
        """Click that action of a message."""
        toasts = [toast for toast in self._cove.window.findChildren(Toast) if toast.isVisible()]
        found = [b for toast in toasts for b in toast.findChildren(QAbstractButton) if b.text() == text]
        assert found, f"no message offers {text!r}, but these are shown: {self.toasts()}"
        self._hands.click(found[0])

    def message_facts(self) -> list[str]:
        """The sentences under the titles of the messages."""
        return [message.fact for message in self._cove.window.toasts.shown()]

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
