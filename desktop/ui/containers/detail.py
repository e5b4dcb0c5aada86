"""The page of one container: its head with actions, and its tabs."""

from __future__ import annotations

from PySide6.QtCore import QUrl, Signal
from PySide6.QtGui import QDesktopServices, QGuiApplication
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLineEdit,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from desktop.ui.containers.actions import ContainerActions
from desktop.ui.containers.environment_tab import EnvironmentTab
from desktop.ui.containers.files_tab import FilesTab
from desktop.ui.containers.inspect_tab import InspectTab
from desktop.ui.containers.logs_tab import LogsTab
from desktop.ui.containers.looking import Looker
from desktop.ui.containers.model import ContainerModel
from desktop.ui.containers.overview_tab import OverviewTab
from desktop.ui.containers.processes_tab import ProcessesTab
from desktop.ui.containers.stats_tab import StatsTab
from desktop.ui.containers.tab import ContainerTab
from desktop.ui.containers.terminal_tab import TerminalTab
from desktop.ui.containers.xray_tab import XRayTab
from desktop.ui.feed.container import Container
from desktop.ui.feed.session import EngineSession
from desktop.ui.kit.buttons import Button, Link
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.labels import ElidedLabel, Label
from desktop.ui.kit.menus import Act, open_below
from desktop.ui.kit.page import Desk, Page, Place
from desktop.ui.kit.signs import Chip
from desktop.ui.kit.tabs import Tabs
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.words import tr

TABS = ("logs", "terminal", "files", "stats", "processes", "environment", "xray", "overview", "inspect")


def titles() -> tuple[str, ...]:
    """The tabs' titles, in the order of `TABS`."""
    return (
        tr("Logs"),
        tr("Terminal"),
        tr("Files"),
        tr("Stats"),
        tr("Processes"),
        tr("Mounts & environment"),
        tr("X-ray"),
        tr("Overview"),
        tr("Inspect"),
    )


class DetailPage(Page):
    """Signals: tab_changed(tab)."""

    tab_changed = Signal(str)

    def __init__(
        self,
        desk: Desk,
        model: ContainerModel,
        actions: ContainerActions,
        session: EngineSession,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(desk, parent)
        theme, icons = desk.theme, desk.icons
        self._theme, self._icons, self._model, self._actions, self._session = theme, icons, model, actions, session
        self._id = ""
        self._told: Container | None = None  # what the visible tab has been told last
        self._last_tab = TABS[0]
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self._head(theme, icons))
        self.stack = QStackedWidget()
        looker = Looker(session)
        self.logs = LogsTab(theme, icons, session)
        self.terminal = TerminalTab(desk, session)
        self.files = FilesTab(desk, session)
        self.stats = StatsTab(desk, session)
        self.processes = ProcessesTab(desk, session)
        self.environment = EnvironmentTab(theme, icons, looker)
        self.xray = XRayTab(desk, session)
        self.overview = OverviewTab(theme, icons, looker)
        self.inspect = InspectTab(theme, icons, looker)
        self._views: tuple[ContainerTab, ...] = (
            self.logs,
            self.terminal,
            self.files,
            self.stats,
            self.processes,
            self.environment,
            self.xray,
            self.overview,
            self.inspect,
        )
        for tab in self._views:
            self.stack.addWidget(tab)
        self.logs.asked.connect(self._on_why)
        self.terminal.start_asked.connect(lambda: self._ask("start"))
        self.environment.volume_chosen.connect(lambda name: desk.go(Place("volumes", name)))
        column.addWidget(self.stack, 1)
        model.dataChanged.connect(self._on_model)
        self.tabs.currentChanged.connect(self._on_tab)

    def _head(self, theme: Theme, icons: Icons) -> QFrame:
        head = QFrame()
        head.setObjectName("detailhead")
        head.setFixedHeight(112)
        column = QVBoxLayout(head)
        column.setContentsMargins(24, 0, 24, 0)
        column.setSpacing(0)
        title_row = QWidget()
        title_row.setFixedHeight(71)
        row = QHBoxLayout(title_row)
        row.setContentsMargins(0, 0, 0, 2)
        row.setSpacing(14)
        names = QHBoxLayout()
        names.setSpacing(8)
        self.project = Label(theme, "", "title", "text3")
        self._slash = Label(theme, "/", "title", "text3")
        self.name = ElidedLabel(theme, "", "title")
        names.addWidget(self.project)
        names.addWidget(self._slash)
        names.addWidget(self.name)
        self.chip = Chip(theme)
        self.image = ElidedLabel(theme, "", "name", "text2")
        self.short_id = Label(theme, "", "mono", "text3")
        copy = Button(theme, icons, icon="copy-simple", kind="ghost", name=tr("Copy id"), height=28, icon_size=14)
        copy.clicked.connect(lambda: QGuiApplication.clipboard().setText(self._id[:12]))
        self._ports = QHBoxLayout()
        self._ports.setSpacing(10)
        self._port_links: list[Link] = []
        self.start = Button(theme, icons, tr("Start"), "play")
        self.stop = Button(theme, icons, tr("Stop"), "stop")
        self.restart = Button(theme, icons, tr("Restart"), "arrow-clockwise")
        self.pause = Button(theme, icons, icon="pause", name=tr("Pause"))
        self.more = Button(theme, icons, icon="dots-three", name=tr("More"))
        row.addLayout(names)
        row.addWidget(self.chip)
        row.addWidget(self.image)
        ids = QHBoxLayout()
        ids.setSpacing(2)
        ids.addWidget(self.short_id)
        ids.addWidget(copy)
        row.addLayout(ids)
        row.addLayout(self._ports)
        row.addStretch(1)
        buttons = QHBoxLayout()
        buttons.setSpacing(8)
        for button in (self.start, self.stop, self.restart, self.pause, self.more):
            buttons.addWidget(button)
        row.addLayout(buttons)
        column.addWidget(title_row)
        self.tabs = Tabs(theme, tuple(title.replace("&", "&&") for title in titles()))
        self.tabs.setAccessibleName(tr("Views of the container"))
        column.addWidget(self.tabs)
        for button, verb in ((self.start, "start"), (self.stop, "stop"), (self.restart, "restart")):
            button.clicked.connect(lambda _=False, v=verb: self._ask(v))
        self.pause.clicked.connect(self._on_pause)
        self.more.clicked.connect(self._on_more)
        return head

    # showing ---------------------------------------------------------------------------------------------------------

    @property
    def container_id(self) -> str:
        return self._id

    @property
    def tab(self) -> ContainerTab:
        """The visible tab."""
        return self._views[self.tabs.currentIndex()]

    @property
    def search_field(self) -> QLineEdit | None:
        return self.tab.search_field

    def first_focus(self) -> QWidget:
        return self.tabs

    def show_place(self, thing: str, tab: str) -> None:
        """Show container `thing`; without a `tab`, the last one shown."""
        if thing != self._id:
            self.leave()
            self._id = thing
        self._last_tab = tab or self._last_tab
        self.tabs.blockSignals(True)
        self.tabs.setCurrentIndex(TABS.index(self._last_tab))
        self.tabs.blockSignals(False)
        self._turn_to(self.tabs.currentIndex(), is_asked_for=bool(tab))

    def leave(self) -> None:
        """The page is hidden: end its streams."""
        self._told = None
        for tab in self._views:
            tab.leave()

    def next_tab(self, by: int) -> None:
        self.tabs.setCurrentIndex((self.tabs.currentIndex() + by) % self.tabs.count())

    def _on_tab(self, number: int) -> None:
        self._last_tab = TABS[number]
        self._turn_to(number, is_asked_for=True)
        self.tab_changed.emit(self._last_tab)

    def _turn_to(self, number: int, *, is_asked_for: bool) -> None:
        """Show a tab; `is_asked_for`: by its name, not because it was the last one."""
        before = self.stack.currentIndex()
        if before != number:
            self._views[before].cover()
        self.stack.setCurrentIndex(number)
        self._told = None
        self._show()
        if is_asked_for and self.tab is self.terminal:
            self.terminal.want_shell()

    def _on_model(self) -> None:
        if self.isVisible():
            self._show()

    def _show(self) -> None:
        """Show what has changed: the model also tells each measurement of usage, which is not shown here."""
        container = self._model.container(self._id)
        if container is None or container == self._told:
            return
        self._told = container
        self._show_head(container)
        self.tab.show_container(container)

    def _show_head(self, container: Container) -> None:
        grouped = bool(container.project)
        self.project.setVisible(grouped)
        self._slash.setVisible(grouped)
        self.project.setText(container.project)
        self.name.set_text(container.title)
        self.chip.set_state(container.state, container.state_word)
        self.image.set_text(container.image)
        self.short_id.setText(container.id[:12])
        wanted = [str(p.host_port) for p in container.ports] if container.is_running else []
        shown = [link.text() for link in self._port_links]
        if wanted != shown:
            self._port_links.clear()
            while item := self._ports.takeAt(0):
                if widget := item.widget():
                    widget.hide()
                    widget.deleteLater()
            for port in container.ports if wanted else ():
                link = Link(self._theme, str(port.host_port), underlined=True)
                link.setToolTip(
                    tr("{where} to {port} in {name}", where=port.where, port=port.port, name=container.title)
                )
                link.clicked.connect(lambda _=False, p=port: QDesktopServices.openUrl(QUrl(p.url)))
                self._ports.addWidget(link)
                self._port_links.append(link)
        free = not container.lost and container.doing is None
        self.start.setVisible(not container.is_running)
        self.stop.setVisible(container.is_running)
        self.restart.setVisible(container.is_running)
        self.pause.setVisible(container.status in ("running", "paused"))
        paused = container.status == "paused"
        self.pause.set_icon("play" if paused else "pause")
        self.pause.setAccessibleName(tr("Resume") if paused else tr("Pause"))
        self.pause.setToolTip(self.pause.accessibleName())
        for button in (self.start, self.stop, self.restart, self.pause):
            button.setEnabled(free)

    # doing -----------------------------------------------------------------------------------------------------------

    def _ask(self, verb: str) -> None:
        if container := self._model.container(self._id):
            self._actions.ask(verb, [container])

    def _on_why(self, key: str) -> None:
        if key == "stats":
            self.tabs.setCurrentIndex(TABS.index("stats"))
        else:
            self._ask(key)

    def _on_pause(self) -> None:
        if container := self._model.container(self._id):
            self._actions.ask("resume" if container.status == "paused" else "pause", [container])

    def _on_more(self) -> None:
        if (container := self._model.container(self._id)) is None:
            return
        acts: list[Act | None] = [Act("copyid", "copy-simple", tr("Copy id"))]
        acts.append(Act("copyname", "copy-simple", tr("Copy name")))
        if not container.lost:
            acts += [None, *self._actions.more_on_one(container)]
            acts += [None, Act("delete", "trash", tr("Delete…"))]

        def chosen(key: str) -> None:
            if key in ("copyid", "copyname"):
                QGuiApplication.clipboard().setText(container.id if key == "copyid" else container.name)
            else:
                self._ask(key)

        open_below(self.more, self._icons, acts, chosen)
