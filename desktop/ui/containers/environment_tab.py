"""The Mounts & environment tab: what is mounted where, and the variables, whose secrets are hidden until asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from desktop.ui.containers.looking import Inspected, Looker
from desktop.ui.containers.tab import ContainerTab
from desktop.ui.feed.container import Container, volume_title
from desktop.ui.kit.buttons import Link, Switch
from desktop.ui.kit.cards import Card, CardTitle, FactsCard
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.labels import IconLabel, Label
from desktop.ui.kit.secrets import HIDDEN, is_secret
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.words import counted, tr

ICONS = {"volume": "database", "bind": "folder-simple", "tmpfs": "selection-all"}


@dataclass(frozen=True, slots=True, kw_only=True)
class MountFact:
    """One mount: `target` in the container, `source` in words; `volume` is the name of a volume, else empty."""

    kind: str
    target: str
    source: str
    access: str
    volume: str = ""


def mounts_of(data: Mapping[str, Any]) -> list[MountFact]:
    """The mounts of a container's inspect data, by target; those in memory are only in its HostConfig."""
    found = [
        MountFact(
            kind=(kind := str(each.get("Type") or "bind")),
            target=str(each.get("Destination") or ""),
            source=volume_title(str(each.get("Name") or "")) or str(each.get("Source") or "") or tr("in memory"),
            access=tr("read and write") if each.get("RW", True) else tr("read only"),
            volume=str(each.get("Name") or "") if kind == "volume" else "",
        )
        for each in data.get("Mounts") or ()
    ]
    known = {mount.target for mount in found}
    for target, options in ((data.get("HostConfig") or {}).get("Tmpfs") or {}).items():
        if target not in known:
            access = tr("read only") if "ro" in str(options).split(",") else tr("read and write")
            found.append(MountFact(kind="tmpfs", target=target, source=tr("in memory"), access=access))
    return sorted(found, key=lambda mount: mount.target)


class MountsCard(Card):
    """Signals: volume_chosen(name)."""

    volume_chosen = Signal(str)

    def __init__(self, theme: Theme, icons: Icons, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent=parent)
        self._icons = icons
        self._shown: list[MountFact] | None = None
        column = QVBoxLayout(self)
        column.setContentsMargins(16, 14, 16, 16)
        column.setSpacing(12)
        self.head = CardTitle(theme, icons, "hard-drives", tr("Mounts"))
        column.addWidget(self.head)
        self._grid = QGridLayout()
        self._grid.setHorizontalSpacing(16)
        self._grid.setVerticalSpacing(9)
        self._grid.setColumnStretch(1, 1)
        self._grid.setColumnStretch(2, 1)
        column.addLayout(self._grid)

    def tell(self, mounts: list[MountFact]) -> None:
        if mounts == self._shown:
            return
        self._shown = mounts
        while item := self._grid.takeAt(0):
            if widget := item.widget():
                widget.hide()
                widget.deleteLater()
        if not mounts:
            none = tr("Nothing is mounted. All that it writes is its own and goes with it.")
            self._grid.addWidget(Label(self._theme, none, "body", "text2"), 0, 0, 1, 4)
        for row, mount in enumerate(mounts):
            self._grid.addWidget(IconLabel(self._theme, self._icons, ICONS.get(mount.kind, "folder-simple")), row, 0)
            self._grid.addWidget(self._text(mount.target, "mono", "text"), row, 1)
            self._grid.addWidget(self._source(mount), row, 2)
            self._grid.addWidget(self._text(mount.access, "small", "text2"), row, 3)

    def _text(self, text: str, role: str, tone: str) -> Label:
        label = Label(self._theme, text, role, tone)
        label.setWordWrap(role == "mono")
        label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        return label

    def _source(self, mount: MountFact) -> QWidget:
        if not mount.volume:
            return self._text(mount.source, "mono" if mount.kind == "bind" else "small", "text2")
        line = QWidget()
        row = QHBoxLayout(line)
        row.setContentsMargins(0, 0, 0, 0)
        link = Link(self._theme, mount.source)
        link.setAccessibleName(tr("Volume {name}", name=mount.volume))
        link.setToolTip(mount.volume)
        link.clicked.connect(lambda: self.volume_chosen.emit(mount.volume))
        row.addWidget(link)
        row.addStretch(1)
        return line


class EnvironmentTab(ContainerTab):
    """Signals: volume_chosen(name)."""

    volume_chosen = Signal(str)

    def __init__(self, theme: Theme, icons: Icons, looker: Looker, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._looker = looker
        self._pairs: list[tuple[str, str]] = []
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        outer.addWidget(scroll)
        inner = QWidget()
        inner.setObjectName("scrolled")
        column = QVBoxLayout(inner)
        column.setContentsMargins(24, 16, 24, 24)
        column.setSpacing(12)
        self.mounts = MountsCard(theme, icons)
        self.variables = FactsCard(theme, icons, "sliders-horizontal", tr("Environment"))
        self.secrets = Switch(theme, tr("Show secrets"))
        self.secrets.clicked.connect(self._show)
        self.variables.head.add(self.secrets)
        column.addWidget(self.mounts)
        column.addWidget(self.variables)
        column.addStretch(1)
        scroll.setWidget(inner)
        self._clear()
        self.mounts.volume_chosen.connect(self.volume_chosen)

    def show_container(self, container: Container) -> None:
        self._looker.look(container, self._tell, self._fail)

    def _fail(self, error: Exception) -> None:
        self.variables.tell([(tr("No data"), str(error), False)])

    def leave(self) -> None:
        super().leave()
        self._looker.drop()
        self._clear()

    def _clear(self) -> None:
        """Show nothing. Secrets are hidden until they are asked for again."""
        self._pairs = []
        self.secrets.setChecked(False)
        self.mounts.hide()
        self._show()

    def _tell(self, inspected: Inspected) -> None:
        self.mounts.tell(mounts_of(inspected.data))
        self.mounts.show()
        entries = [str(entry).partition("=") for entry in (inspected.data.get("Config") or {}).get("Env") or ()]
        self._pairs = [(name, value) for name, _, value in entries]
        self._show()

    def _show(self) -> None:
        secrets = sum(is_secret(name) for name, _ in self._pairs)
        self.secrets.setVisible(secrets > 0)
        self.variables.head.fact.set_text(counted(secrets, "{n} secret", "{n} secrets") if secrets else "")
        shows = self.secrets.isChecked()
        self.variables.tell(
            [(name, value if shows or not is_secret(name) else HIDDEN, True) for name, value in self._pairs]
        )
