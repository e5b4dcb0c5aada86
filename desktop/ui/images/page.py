"""The Images page: the list at the left, one image at the right; pull, run, delete."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QWidget

from desktop.ui.bin.button import BinButton
from desktop.ui.bin.undo import Undo
from desktop.ui.containers.model import ContainerModel
from desktop.ui.feed.session import EngineSession
from desktop.ui.images.actions import ImageActions
from desktop.ui.images.detail import ImageDetail
from desktop.ui.images.model import ImageModel, NamedImage, columns, segments
from desktop.ui.images.pulls import Pulls
from desktop.ui.images.pushes import Pushes
from desktop.ui.kit.buttons import Button
from desktop.ui.kit.empty import EmptyPage
from desktop.ui.kit.menus import Act, open_below
from desktop.ui.kit.page import Desk, Place
from desktop.ui.kit.table_page import TablePage
from desktop.ui.kit.words import counted, disk, tr


class ImagesPage(TablePage[NamedImage]):
    """Signals: run_asked(name)."""

    run_asked = Signal(str)

    def __init__(
        self,
        desk: Desk,
        session: EngineSession,
        model: ImageModel,
        containers: ContainerModel,
        pulls: Pulls,
        undo: Undo,
        parent: QWidget | None = None,
    ) -> None:
        self.card = ImageDetail(desk, session)
        self._model, self._containers = model, containers
        self._actions = ImageActions(desk, session, containers, undo)
        self._pushes = Pushes(desk, session)
        first = Button(desk.theme, desk.icons, tr("Pull an image…"), "download-simple", kind="primary", height=36)
        first.clicked.connect(pulls.ask)
        empty = EmptyPage(
            desk.theme,
            desk.icons,
            tr("No images yet"),
            tr("Pull one from a registry; running an unknown one pulls it too."),
            (first,),
            "cove pull debian:trixie",
        )
        super().__init__(
            desk,
            title=tr("Images"),
            columns=columns(),
            segments=segments(),
            which=tr("Which images"),
            hint=tr("Filter by name"),
            key=lambda row: row.key,
            haystack=lambda row: row.tag,
            empty=empty,
            detail=self.card,
            bulk=(Act("delete", "trash", tr("Delete…"), "Del"),),
            rows=model,
            parent=parent,
        )
        self.pull = Button(desk.theme, desk.icons, tr("Pull…"), "download-simple")
        self.pull.clicked.connect(pulls.ask)
        self.load_button = Button(desk.theme, desk.icons, tr("Load…"), "upload-simple")
        self.load_button.clicked.connect(self._actions.ask_load)
        self.bin = BinButton(desk, session, "image")
        self.add_button(self.bin)
        self.add_button(self.load_button)
        self.add_button(self.pull)
        self.card.run_asked.connect(self.run_asked)
        self.card.more_asked.connect(self._on_more)
        self.card.container_asked.connect(self._on_container)

    def summarize(self) -> str:
        images = self._model.images
        if not images:
            return ""
        text = counted(len(images), "{n} image", "{n} images")
        text = tr("{images}, {size} on disk", images=text, size=disk(self._model.total_bytes))
        unused = self._model.unused_bytes
        return tr("{text}, {size} not in use", text=text, size=disk(unused)) if unused else text

    def no_match_title(self, text: str) -> str:
        return tr("No image matches “{text}”", text=text) if text else tr("No image here")

    def acts(self, items: Sequence[NamedImage]) -> Sequence[Act | None]:
        copy = Act("copy", "copy-simple", tr("Copy name") if len(items) == 1 else tr("Copy names"), "Ctrl+C")
        if len(items) == 1:
            delete = Act("delete", "trash", tr("Delete…"), "Del")
            tag, save = Act("tag", "plus", tr("Add a name…")), Act("save", "floppy-disk", tr("Save…"))
            push = Act("push", "upload-simple", tr("Push…"))
            return (Act("run", "play", tr("Run…"), "Return"), copy, None, tag, push, save, None, delete)
        save = Act("save", "floppy-disk", tr("Save {n}…", n=len(items)))
        return (copy, save, None, Act("delete", "trash", tr("Delete {n}…", n=len(items)), "Del"))

    def do(self, key: str, items: Sequence[NamedImage]) -> None:
        match key:
            case "run":
                self.run_asked.emit(items[0].key)
            case "copy":
                QGuiApplication.clipboard().setText("\n".join(row.key for row in items))
            case "tag":
                self._actions.ask_tag(items[0])
            case "push":
                self._pushes.ask(items[0])
            case "save":
                self._actions.ask_save(items)
            case "delete":
                self._actions.ask_delete(items)

    def show_detail(self, item: NamedImage) -> None:
        self.card.show_image(item)

    def open_item(self, item: NamedImage) -> None:
        self.run_asked.emit(item.key)

    def _on_more(self, button: QWidget) -> None:
        row = self.card.row
        if row is not None:
            acts = [act for act in self.acts([row]) if act is None or act.key != "run"]
            open_below(button, self.desk.icons, acts, lambda key: self.do(key, [row]))

    def _on_container(self, name: str) -> None:
        found = next((c for c in self._containers.containers() if c.name == name), None)
        if found is not None:
            self.desk.go(Place("container", found.id))
