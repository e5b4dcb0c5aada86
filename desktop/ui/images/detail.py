"""One image: name, digest, layers, the containers that use it, inspect data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QGuiApplication, QPainter, QPaintEvent
from PySide6.QtWidgets import (
    QHBoxLayout,
    QMenu,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from desktop.ui.feed.facts import ImageLayer
from desktop.ui.feed.session import EngineSession
from desktop.ui.images.layer_stack import LayerStack
from desktop.ui.images.model import NamedImage
from desktop.ui.kit.buttons import Button, Link
from desktop.ui.kit.cards import Card, Label
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.inspect import InspectTab
from desktop.ui.kit.tabs import Tabs
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.words import short_id, tr


class ImageDetail(Card):
    """One image: name, digest, layers, containers, inspect data. Signals: run_asked(name), delete_asked(NamedImage)."""

    run_asked = Signal(str)
    delete_asked = Signal(object)
    container_asked = Signal(str)

    def __init__(self, theme: Theme, icons: Icons, session: EngineSession, parent: QWidget | None = None) -> None:
        super().__init__(theme, parent=parent)
        self._theme, self._icons, self._session = theme, icons, session
        self._row: NamedImage | None = None
        column = QVBoxLayout(self)
        column.setContentsMargins(1, 0, 1, 1)
        column.setSpacing(0)
        head = QHBoxLayout()
        head.setContentsMargins(16, 13, 13, 0)
        names = QVBoxLayout()
        names.setSpacing(3)
        self.title = Label(theme, "", "heading")
        ids = QHBoxLayout()
        ids.setSpacing(4)
        self.digest = Label(theme, "", "mono", "text3")
        copy = Button(
            theme, icons, icon="copy-simple", kind="ghost", name=tr("Copy the image's id"), height=28, icon_size=14
        )
        copy.clicked.connect(lambda: self._row and QGuiApplication.clipboard().setText(self._row.image.id))
        self.about = Label(theme, "", "small", "text2")
        ids.addWidget(self.digest)
        ids.addWidget(copy)
        ids.addSpacing(12)
        ids.addWidget(self.about)
        ids.addStretch(1)
        names.addWidget(self.title)
        names.addLayout(ids)
        head.addLayout(names, 1)
        self.run = Button(theme, icons, tr("Run…"), "play", kind="primary")
        self.more = Button(theme, icons, icon="dots-three", name=tr("More"))
        self.run.clicked.connect(lambda: self._row and self.run_asked.emit(self._row.key))
        self.more.clicked.connect(self._on_more)
        head.addWidget(self.run, 0, Qt.AlignmentFlag.AlignTop)
        head.addSpacing(8)
        head.addWidget(self.more, 0, Qt.AlignmentFlag.AlignTop)
        column.addLayout(head)
        tabs_row = QHBoxLayout()
        tabs_row.setContentsMargins(17, 0, 16, 0)
        self.tabs = Tabs(theme, (tr("Layers"), tr("Used by"), tr("Inspect")))
        self.tabs.setAccessibleName(tr("Views of the image"))
        tabs_row.addWidget(self.tabs)
        column.addLayout(tabs_row)
        self._rule = _Rule(theme)
        column.addWidget(self._rule)
        self.stack = QStackedWidget()
        self.layers = LayerStack(theme)
        self._users = QWidget()
        self._users_column = QVBoxLayout(self._users)
        self._users_column.setContentsMargins(17, 14, 16, 14)
        self._users_column.setSpacing(6)
        self.inspect = InspectTab(theme, icons)
        for page in (self.layers, self._users, self.inspect):
            self.stack.addWidget(page)
        column.addWidget(self.stack, 1)
        self.tabs.currentChanged.connect(self.stack.setCurrentIndex)

    @property
    def row(self) -> NamedImage | None:
        return self._row

    def show_image(self, row: NamedImage) -> None:
        same = self._row is not None and self._row.image.id == row.image.id
        self._row = row
        self.title.setText("".join(row.title))
        self.digest.setText(f"sha256:{short_id(row.image.id)}")
        self._show_users(row)
        if same:
            return
        self.about.setText("")
        client, image_id = self._session.client, row.image.id

        def ask() -> tuple[dict[str, Any], list[dict[str, Any]]]:
            return client.image_inspect(image_id), client.image_history(image_id)

        def told(answer: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
            if self._row is None or self._row.image.id != image_id:
                return
            data, history = answer
            age = self._row.age
            parts = [
                str(data.get("Architecture", "")),
                tr("built {age} ago", age=age) if age and age[0].isdigit() else age,
            ]
            self.about.setText(", ".join(part for part in parts if part))
            self.inspect.tell(data)
            self.layers.set_layers(layers_of(data, history))

        self._session.workers.run(ask, told, lambda _error: self.layers.set_layers([]))

    def _show_users(self, row: NamedImage) -> None:
        while item := self._users_column.takeAt(0):
            if widget := item.widget():
                widget.hide()
                widget.deleteLater()
        if not row.image.used_by:
            self._users_column.addWidget(Label(self._theme, tr("No container uses it."), "body", "text2"))
        for name in row.image.used_by:
            link = Link(self._theme, name)
            link.clicked.connect(lambda _=False, n=name: self.container_asked.emit(n))
            self._users_column.addWidget(link)
        self._users_column.addStretch(1)

    def _on_more(self) -> None:
        if (row := self._row) is None:
            return
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        copy = menu.addAction(self._icons.icon("copy-simple"), tr("Copy name"))
        copy.triggered.connect(lambda: QGuiApplication.clipboard().setText(row.key))
        menu.addSeparator()
        delete = menu.addAction(self._icons.icon("trash", "bad"), tr("Delete…"))
        delete.triggered.connect(lambda: self.delete_asked.emit(row))
        menu.popup(self.more.mapToGlobal(self.more.rect().bottomLeft()))


class _Rule(QWidget):
    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self.setFixedHeight(1)
        theme.changed.connect(self.update)

    def paintEvent(self, _event: QPaintEvent) -> None:
        QPainter(self).fillRect(self.rect(), self._theme.colour("line"))


def layers_of(data: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> list[ImageLayer]:
    """The steps of the history, newest first; without a history, the layers by their digests."""
    if history:
        return [
            ImageLayer(
                step=step_of(str(entry.get("CreatedBy") or entry.get("Comment") or "")),
                size=int(entry.get("Size") or 0),
                created_s=float(entry.get("Created") or 0),
            )
            for entry in history
        ]
    digests = (data.get("RootFS") or {}).get("Layers") or ()
    told = tr("the image has no history")
    return [ImageLayer(step=f"sha256:{short_id(d)}", size=0, created_s=0, fact=told) for d in reversed(digests)]


def step_of(created_by: str) -> str:
    """A history entry's command as an instruction of a Dockerfile."""
    text = created_by.removeprefix("/bin/sh -c ").strip()
    if text.startswith("#(nop)"):
        return text.removeprefix("#(nop)").strip()
    text = text.split(" # buildkit")[0]
    words = ("RUN ", "COPY ", "ADD ", "CMD ", "ENV ", "WORKDIR ", "ENTRYPOINT ", "LABEL ", "EXPOSE ", "USER ", "ARG ")
    if not text:
        return tr("imported files")
    return text if text.startswith(words) else f"RUN {text}" if created_by.startswith("/bin/sh -c") else text
