"""The Settings page: groups at the left, the cards of one group at the right. A change counts at once; what waits for
the VM's restart is named in a bar at the foot, which offers it."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QScrollArea, QStackedWidget, QVBoxLayout, QWidget

from desktop.context import VM, Context
from desktop.settings.table import GROUPS, SETTINGS, Counts
from desktop.ui.containers.model import ContainerModel
from desktop.ui.feed.engine import EngineFacts, EnginePhase
from desktop.ui.feed.settings import Reading, SettingsFeed
from desktop.ui.kit.buttons import Button
from desktop.ui.kit.focus import tab_in_order
from desktop.ui.kit.labels import IconLabel, Label
from desktop.ui.kit.page import Desk, Page
from desktop.ui.kit.words import counted, sentence, tr
from desktop.ui.settings.nav import WIDTH, Nav
from desktop.ui.settings.rows import Row, row_for

MB = 1 << 20
ICONS = {
    "general": ("sliders-horizontal", "General"),
    "resources": ("cpu", "Resources"),
    "folders": ("folder-simple", "Shared folders"),
    "network": ("share-network", "Network"),
    "proxies": ("arrows-left-right", "Proxies"),
    "certificates": ("lock-key", "Certificates"),
}


class SettingsPage(Page):
    """Signals: restart_asked(): of the VM. `context` is this window's engine: without a VM, the VM's settings are not
    shown."""

    restart_asked = Signal()

    def __init__(
        self,
        desk: Desk,
        feed: SettingsFeed,
        context: Context,
        containers: ContainerModel,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(desk, parent)
        self._feed, self._context, self.containers = feed, context, containers
        self._is_vm = context.kind == VM
        self._facts: EngineFacts | None = None
        self._fault = ""  # why the settings cannot be read
        self.rows: dict[str, Row] = {}
        names = [name for name, setting in SETTINGS.items() if self._is_vm or not setting.for_vm]
        self._groups = [group for group in GROUPS if any(SETTINGS[name].group == group for name in names)]
        self._names = names
        outer = QHBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(0)
        outer.addWidget(self._make_side())
        right = QVBoxLayout()
        right.setSpacing(0)
        self.stack = QStackedWidget()
        right.addWidget(self.stack, 1)
        right.addWidget(self._make_foot())
        outer.addLayout(right, 1)
        self._columns = {group: self._make_group(group) for group in self._groups}
        feed.changed.connect(self._show)
        feed.failed.connect(self._on_failed)
        for signal in (containers.dataChanged, containers.rowsInserted, containers.rowsRemoved):
            signal.connect(self._on_containers)
        if feed.reading is not None:
            self._show(feed.reading)

    # making ----------------------------------------------------------------------------------------------------------

    def _make_side(self) -> QWidget:
        side = QFrame()
        side.setObjectName("settingsnav")
        side.setFixedWidth(WIDTH + 24)
        column = QVBoxLayout(side)
        column.setContentsMargins(12, 5, 12, 12)
        column.setSpacing(4)
        title = Label(self.desk.theme, tr("Settings"), "title")
        title.setFixedHeight(50)
        title.setIndent(12)
        column.addWidget(title)
        entries = [(group, ICONS[group][0], tr(ICONS[group][1])) for group in self._groups]
        self.nav = Nav(self.desk.theme, self.desk.icons, entries)
        self.nav.chosen.connect(lambda key: self.stack.setCurrentIndex(self._groups.index(key)))
        column.addWidget(self.nav, 1)
        return side

    def _make_group(self, group: str) -> QVBoxLayout:
        """The view of a group; returns the column that its cards come into."""
        theme = self.desk.theme
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setAccessibleName(tr(ICONS[group][1]))
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        inner = QWidget()
        inner.setObjectName("scrolled")
        column = QVBoxLayout(inner)
        column.setContentsMargins(24, 5, 24, 16)
        column.setSpacing(10)
        head = QHBoxLayout()
        head.setSpacing(12)
        title = Label(theme, tr(ICONS[group][1]), "title")
        title.setFixedHeight(50)
        head.addWidget(title)
        if group == "resources":
            head.addWidget(Label(theme, tr("for the virtual machine"), "body", "text2"))
        head.addStretch(1)
        column.addLayout(head)
        if group == "general" and not self._is_vm:
            note = Label(
                theme,
                tr("This window's engine runs without a virtual machine: memory, shared folders, ports and proxies are "
                   "those of the system that it runs on, and the VM's settings are not shown."),
                "body",
                "text2",
            )  # fmt: skip
            note.setWordWrap(True)
            column.addWidget(note)
        column.addStretch(1)
        scroll.setWidget(inner)
        self.stack.addWidget(scroll)
        return column

    def _make_foot(self) -> QWidget:
        foot = self.foot = QFrame()
        foot.setObjectName("settingsfoot")
        row = QHBoxLayout(foot)
        row.setContentsMargins(24, 12, 24, 12)
        row.setSpacing(10)
        row.addWidget(IconLabel(self.desk.theme, self.desk.icons, "info", "start", 18))
        self.waiting = Label(self.desk.theme, "", "body")
        self.waiting.setWordWrap(True)
        row.addWidget(self.waiting, 1)
        self.restart = Button(self.desk.theme, self.desk.icons, tr("Restart the VM…"), kind="primary")
        self.restart.clicked.connect(self.restart_asked)
        row.addWidget(self.restart)
        foot.hide()
        return foot

    # Page ------------------------------------------------------------------------------------------------------------

    def show_place(self, thing: str, tab: str) -> None:
        if thing in self._groups:
            self.nav.choose(thing)
        self._show_waiting()
        self._feed.read()

    def first_focus(self) -> QWidget:
        return self.nav.focus_target()

    def show_facts(self, facts: EngineFacts) -> None:
        """The engine's state: which values the VM that runs has."""
        self._facts = facts
        self._show_waiting()

    # what is set -----------------------------------------------------------------------------------------------------

    def _show(self, reading: Reading) -> None:
        self._fault = ""
        if not self.rows:
            for name in self._names:
                self._add_row(name, reading)
            tab_in_order([self.nav, self.stack, self.restart])
        for name in self._names:
            if (row := self.rows.get(name)) is not None:
                row.tell(reading.entries[name])
        self._show_waiting()

    def _add_row(self, name: str, reading: Reading) -> None:
        if name == "context" and not reading.machine.has_native:
            return  # there is nothing to choose
        row = self.rows[name] = row_for(self.desk.theme, self.desk.icons, name, reading.machine)
        row.chosen.connect(lambda text: self._feed.set(name, text, lambda why: self._refuse(name, why)))
        row.default_chosen.connect(lambda: self._feed.unset(name, lambda why: self._refuse(name, why)))
        column = self._columns[SETTINGS[name].group]
        column.insertWidget(column.count() - 1, row)

    def _refuse(self, name: str, why: str) -> None:
        """A value could not be set: say why at its control, which shows again what counts."""
        row, reading = self.rows[name], self._feed.reading
        if reading is not None:
            row.tell(reading.entries[name])
        row.refuse(why)

    def _on_failed(self, why: str) -> None:
        self._fault = tr("The settings cannot be read. {why}", why=sentence(why))
        self._show_waiting()

    def _on_containers(self) -> None:
        """The foot tells how many a restart would stop. What changes while it is hidden is shown by `show_place`."""
        if self.foot.isVisible():
            self._show_waiting()

    def _show_waiting(self) -> None:
        """Name at the foot what waits for a restart, or why nothing is known."""
        parts = self._waiting()
        if self._fault:
            self.restart.hide()
            self.waiting.setText(self._fault)
            self.foot.show()
            return
        self.restart.setVisible(bool(parts) and self._is_vm)
        self.foot.setVisible(bool(parts))
        running = sum(c.is_running for c in self.containers.containers())
        text = tr("{what}: after a restart of the VM.", what=", ".join(parts))
        if running:
            one = "{text} {n} container runs in it and is stopped first."
            many = "{text} {n} containers run in it and are stopped first."
            text = counted(running, one, many, text=text)
        self.waiting.setText(text)

    def _waiting(self) -> Sequence[str]:
        """Each setting whose value is another one than that of the VM that runs."""
        reading, facts = self._feed.reading, self._facts
        if not self._is_vm or reading is None or facts is None:
            return []
        if facts.phase not in (EnginePhase.RUNNING, EnginePhase.CONNECTING, EnginePhase.LOST, EnginePhase.SAVED):
            return []
        now = {"vm.cpus": facts.cpus, "vm.memory_mb": facts.memory_bytes // MB, "vm.accelerator": facts.accelerator}
        if reading.machine.disk_gb:
            now["vm.disk_gb"] = reading.machine.disk_gb
        found = []
        for name, before in now.items():
            assert SETTINGS[name].counts is Counts.VM_START
            value = reading.entries[name].value
            if not before or value in (None, before):
                continue
            if name == "vm.disk_gb" and isinstance(value, int) and value < reading.machine.disk_gb:
                continue  # it never shrinks
            unit = f" {SETTINGS[name].unit}" if SETTINGS[name].unit else ""
            found.append(tr("{title} {before} to {value}", title=tr(SETTINGS[name].title), before=f"{before}{unit}",
                            value=f"{value}{unit}"))  # fmt: skip
        return found
