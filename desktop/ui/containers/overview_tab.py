"""The Overview tab of a container: its state, its network, and the command that makes the same container."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QGridLayout, QScrollArea, QVBoxLayout, QWidget

from desktop.ui.containers.looking import Inspected, Looker
from desktop.ui.containers.same_command import same_command
from desktop.ui.containers.tab import ContainerTab
from desktop.ui.feed.container import Container, restart_words
from desktop.ui.kit.buttons import Switch
from desktop.ui.kit.cards import Card, CardTitle, FactsCard
from desktop.ui.kit.command_text import in_lines, one_line
from desktop.ui.kit.fields import CodeWell
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.secrets import is_secret
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.words import ago, memory, tr


class OverviewTab(ContainerTab):
    """State, network, and the same container as a command, in which secrets are hidden unless they are asked for."""

    def __init__(self, theme: Theme, icons: Icons, looker: Looker, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._looker = looker
        self._shown: Inspected | None = None
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        self.area = QScrollArea()
        self.area.setWidgetResizable(True)
        outer.addWidget(self.area)
        inner = QWidget()
        inner.setObjectName("scrolled")
        grid = QGridLayout(inner)
        grid.setContentsMargins(24, 16, 24, 24)
        grid.setSpacing(12)
        self._what = FactsCard(theme, icons, "info", tr("What it is"))
        self._net = FactsCard(theme, icons, "share-network", tr("Network"))
        self._command = Card(theme)
        column = QVBoxLayout(self._command)
        column.setContentsMargins(16, 14, 16, 16)
        column.setSpacing(12)
        title = CardTitle(theme, icons, "terminal-window", tr("The same as a command"))
        self.secrets = Switch(theme, tr("Show secrets"))
        self.secrets.clicked.connect(self._show_command)
        title.add(self.secrets)
        column.addWidget(title)
        self.well = CodeWell(theme, icons)
        column.addWidget(self.well)
        grid.addWidget(self._what, 0, 0, Qt.AlignmentFlag.AlignTop)
        grid.addWidget(self._net, 0, 1, Qt.AlignmentFlag.AlignTop)
        grid.addWidget(self._command, 1, 0, 1, 2)
        grid.setRowStretch(2, 1)
        grid.setColumnStretch(0, 1)
        grid.setColumnStretch(1, 1)
        self.area.setWidget(inner)
        self._clear()

    def show_container(self, container: Container) -> None:
        self._looker.look(container, self._tell, self._fail)

    def _fail(self, error: Exception) -> None:
        self._what.tell([(tr("No data"), str(error), False)])

    def leave(self) -> None:
        super().leave()
        self._looker.drop()
        self._clear()

    def _clear(self) -> None:
        """Show nothing. Secrets are hidden until they are asked for again."""
        self._shown = None
        self.secrets.setChecked(False)
        self._what.tell([])
        self._net.tell([])
        self.well.set_text("")
        self._command.hide()

    def _tell(self, inspected: Inspected) -> None:
        self._shown = inspected
        self._tell_facts(inspected.data)
        self._show_command()

    def _show_command(self) -> None:
        if self._shown is None:
            return
        data, image = self._shown.data, self._shown.image
        given = set(image.get("Env") or ())
        entries = [str(entry) for entry in (data.get("Config") or {}).get("Env") or () if entry not in given]
        self.secrets.setVisible(any(is_secret(entry.partition("=")[0]) for entry in entries))
        words = same_command(data, image, hides_secrets=not self.secrets.isChecked())
        self.well.set_text(in_lines(words), one_line(words))
        self._command.show()

    def _tell_facts(self, data: Mapping[str, Any]) -> None:
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
            (tr("Restart"), restart_words(container.restart_policy), False),
        ]
        self._what.tell(what)
        networks = (data.get("NetworkSettings") or {}).get("Networks") or {}
        net = [(name, str(e.get("IPAddress") or tr("no address now")), True) for name, e in networks.items()]
        net += [
            (tr("Port {port}", port=p.port), tr("{where} on this computer", where=p.where), True)
            for p in container.ports
        ]
        self._net.tell(net)
