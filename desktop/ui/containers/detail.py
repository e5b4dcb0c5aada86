"""The page of one container: its head with actions, and its tabs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from PySide6.QtCore import Qt, QUrl, Signal
from PySide6.QtGui import QDesktopServices, QGuiApplication
from PySide6.QtWidgets import (
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QScrollArea,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from desktop.client.engine import ApiError
from desktop.ui.containers.actions import ContainerActions
from desktop.ui.containers.logs_tab import LogsTab
from desktop.ui.containers.model import ContainerModel
from desktop.ui.containers.same_command import same_command
from desktop.ui.containers.terminal_tab import TerminalTab
from desktop.ui.feed.container import Container
from desktop.ui.feed.session import EngineSession
from desktop.ui.kit.buttons import Button, Link
from desktop.ui.kit.cards import Card, CardTitle, FactsCard
from desktop.ui.kit.command_text import in_lines, one_line
from desktop.ui.kit.fields import CodeWell, Field
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.inspect import InspectTab
from desktop.ui.kit.labels import ElidedLabel, Label
from desktop.ui.kit.menus import Act, open_below
from desktop.ui.kit.page import Desk, Page
from desktop.ui.kit.signs import Chip
from desktop.ui.kit.tabs import Tabs
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.words import ago, memory, tr

TABS = ("logs", "terminal", "overview", "inspect")


class OverviewTab(QScrollArea):
    """State, ports, configuration, and the command that creates the same container."""

    def __init__(self, theme: Theme, icons: Icons, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWidgetResizable(True)
        inner = QWidget()
        inner.setObjectName("scrolled")
        grid = QGridLayout(inner)
        grid.setContentsMargins(24, 16, 24, 24)
        grid.setSpacing(12)
        self._what = FactsCard(theme, icons, "info", tr("What it is"))
        self._net = FactsCard(theme, icons, "share-network", tr("Network"))
        self._mounts = FactsCard(theme, icons, "hard-drives", tr("Mounts"))
        self._environment = FactsCard(theme, icons, "sliders-horizontal", tr("Environment"))
        command = Card(theme)
        column = QVBoxLayout(command)
        column.setContentsMargins(16, 14, 16, 16)
        column.setSpacing(12)
        column.addWidget(CardTitle(theme, icons, "terminal-window", tr("The same as a command")))
        self.well = CodeWell(theme, icons)
        column.addWidget(self.well)
        grid.addWidget(self._what, 0, 0, Qt.AlignmentFlag.AlignTop)
        right = QVBoxLayout()
        right.setSpacing(12)
        right.addWidget(self._net)
        right.addWidget(self._mounts)
        right.addWidget(self._environment)
        right.addStretch(1)
        grid.addLayout(right, 0, 1)
        grid.addWidget(command, 1, 0, 1, 2)
        grid.setRowStretch(2, 1)
        grid.setColumnStretch(0, 1)
        grid.setColumnStretch(1, 1)
        self.setWidget(inner)

    def tell(self, data: Mapping[str, Any], image: Mapping[str, Any]) -> None:
        """Show the container's inspect data and its image's Config (empty if the image was deleted)."""
        container = Container.from_inspect(data)
        host, config = data.get("HostConfig") or {}, data.get("Config") or {}
        now = time.time()
        what = [
            (tr("State"), container.state_word, False),
            (tr("Image"), container.image, False),
            (tr("Image id"), container.image_id.removeprefix("sha256:")[:12], True),
            (tr("Command"), container.command, True),
            (tr("Working folder"), str(config.get("WorkingDir") or "/"), True),
            (tr("User"), str(config.get("User") or "root"), False),
            (tr("Made"), ago(container.created_s, now), False),
        ]
        if container.is_running:
            what.append((tr("Process"), tr("{pid} where the engine runs, 1 inside", pid=container.pid), False))
        what += [
            (
                tr("Memory"),
                tr("{limit} at most", limit=memory(container.memory_limit))
                if container.memory_limit
                else tr("no limit"),
                False,
            ),
            (
                tr("CPUs"),
                f"{int(host.get('NanoCpus') or 0) / 1e9:g}" if host.get("NanoCpus") else tr("no limit"),
                False,
            ),
            (tr("Restart"), container.restart_policy or "no", False),
        ]
        self._what.tell(what)
        networks = (data.get("NetworkSettings") or {}).get("Networks") or {}
        net = [(name, str(e.get("IPAddress") or tr("no address now")), True) for name, e in networks.items()]
        net += [
            (tr("Port {port}", port=p.port), tr("{where} on this computer", where=p.where), True)
            for p in container.ports
        ]
        self._net.tell(net)
        self._mounts.tell(
            [
                (str(m.get("Destination")), str(m.get("Name") or m.get("Source") or ""), True)
                for m in data.get("Mounts") or ()
            ]
        )
        pairs = [str(entry).partition("=") for entry in config.get("Env") or ()]
        self._environment.tell([(name, value, True) for name, _, value in pairs])
        words = same_command(data, image)
        self.well.set_text(in_lines(words), one_line(words))


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
        self._image: tuple[str, dict[str, Any]] = ("", {})  # the id and Config of the image last asked for
        self._last_tab = TABS[0]
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self._head(theme, icons))
        self.stack = QStackedWidget()
        self.logs = LogsTab(theme, icons, session)
        self.terminal = TerminalTab(theme, icons, session)
        self.overview = OverviewTab(theme, icons)
        self.inspect = InspectTab(theme, icons)
        for tab in (self.logs, self.terminal, self.overview, self.inspect):
            self.stack.addWidget(tab)
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
        self.tabs = Tabs(theme, (tr("Logs"), tr("Terminal"), tr("Overview"), tr("Inspect")))
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
    def search_field(self) -> Field:
        return self.inspect.search if self.tabs.currentIndex() == 3 else self.logs.search

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
        self.stack.setCurrentIndex(self.tabs.currentIndex())
        self._show()

    def leave(self) -> None:
        """The page is hidden: end its streams."""
        self.logs.leave()
        self.terminal.leave()

    def next_tab(self, by: int) -> None:
        self.tabs.setCurrentIndex((self.tabs.currentIndex() + by) % self.tabs.count())

    def _on_tab(self, number: int) -> None:
        self._last_tab = TABS[number]
        self.stack.setCurrentIndex(number)
        self.tab_changed.emit(self._last_tab)
        self._show()

    def _on_model(self) -> None:
        if self.isVisible():
            self._show()

    def _show(self) -> None:
        container = self._model.container(self._id)
        if container is None:
            return
        self._show_head(container)
        match TABS[self.tabs.currentIndex()]:
            case "logs":
                self.logs.show_container(container)
            case "terminal":
                self.terminal.show_container(container)
            case _:
                self._look(container)

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

    def _look(self, container: Container) -> None:
        """Inspect `container`, and its image once, because an image does not change."""
        client, container_id = self._session.client, container.id
        known_id, known = self._image

        def ask() -> tuple[dict[str, Any], str, dict[str, Any]]:
            data = client.inspect(container_id)
            image_id = str(data.get("Image", ""))
            if image_id == known_id:
                return data, image_id, known
            try:
                return data, image_id, client.image_inspect(image_id).get("Config") or {}
            except ApiError as e:
                if e.status != 404:  # the image was deleted although the container uses it
                    raise
                return data, image_id, {}

        def told(answer: tuple[dict[str, Any], str, dict[str, Any]]) -> None:
            data, image_id, image = answer
            self._image = image_id, image
            if data.get("Id") == self._id:
                self.inspect.tell(data)
                self.overview.tell(data, image)

        def failed(error: Exception) -> None:
            if self._id == container_id:
                self.inspect.fail(str(error))

        self._session.workers.run(ask, told, failed)

    # doing -----------------------------------------------------------------------------------------------------------

    def _ask(self, verb: str) -> None:
        if container := self._model.container(self._id):
            self._actions.ask(verb, [container])

    def _on_pause(self) -> None:
        if container := self._model.container(self._id):
            self._actions.ask("resume" if container.status == "paused" else "pause", [container])

    def _on_more(self) -> None:
        if (container := self._model.container(self._id)) is None:
            return
        acts: list[Act | None] = [Act("copyid", "copy-simple", tr("Copy id"))]
        acts.append(Act("copyname", "copy-simple", tr("Copy name")))
        if not container.lost:
            acts += [None, Act("delete", "trash", tr("Delete…"))]

        def chosen(key: str) -> None:
            if key == "delete":
                self._ask("delete")
            else:
                QGuiApplication.clipboard().setText(container.id if key == "copyid" else container.name)

        open_below(self.more, self._icons, acts, chosen)
