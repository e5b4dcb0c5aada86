"""The Volumes page: the list at the left, one volume with its files at the right; create, move, delete, clean up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from PySide6.QtCore import QTimer
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QWidget

from desktop.ui.bin.button import BinButton
from desktop.ui.bin.undo import Undo
from desktop.ui.containers.model import ContainerModel
from desktop.ui.feed.collection import Collection
from desktop.ui.feed.session import EngineSession
from desktop.ui.feed.workers import Latest
from desktop.ui.files.folder import Source
from desktop.ui.files.view import FilesView
from desktop.ui.kit.buttons import Button
from desktop.ui.kit.cards import FactsView
from desktop.ui.kit.detail import DetailCard
from desktop.ui.kit.empty import EmptyPage
from desktop.ui.kit.inspect import InspectTab
from desktop.ui.kit.links import Linked, Links
from desktop.ui.kit.listing import changes_of
from desktop.ui.kit.menus import Act, open_below
from desktop.ui.kit.page import Desk, Place
from desktop.ui.kit.table_page import TablePage
from desktop.ui.kit.words import ago, counted, disk, tr
from desktop.ui.volumes.actions import VolumeActions
from desktop.ui.volumes.model import Volume, columns, measured, segments
from desktop.ui.volumes.moving import Moving

MEASURE_AGAIN_MS = 30_000  # while the page is shown; reading all files costs


class VolumeDetail(DetailCard):
    """One volume: its files, its users, where it is, what the engine says."""

    def __init__(self, desk: Desk, session: EngineSession, parent: QWidget | None = None) -> None:
        self.files = FilesView(desk, session, is_narrow=True)
        self.users = Links(desk.theme, tr("No container uses it."))
        self.facts = FactsView(desk.theme, desk.icons, "info", tr("What it is"))
        self.inspect = InspectTab(desk.theme, desk.icons)
        views = (
            (tr("Files"), self.files),
            (tr("Used by"), self.users),
            (tr("Overview"), self.facts),
            (tr("Inspect"), self.inspect),
        )
        super().__init__(desk, views, tr("Views of the volume"), parent)
        self._session = session
        self._latest = Latest(session.workers)
        self._volume: Volume | None = None
        self.export = Button(desk.theme, desk.icons, tr("Export…"), "export")
        self.clone = Button(desk.theme, desk.icons, tr("Clone…"), "copy-simple")
        self.more = Button(desk.theme, desk.icons, icon="dots-three", name=tr("More"))
        for button in (self.export, self.clone, self.more):
            self.add_button(button)
        self.users.chosen.connect(lambda key: desk.go(Place("container", key)))
        self.stack.currentChanged.connect(lambda _index: self._show_files())
        self._shown_files = ""  # the name of the volume whose files are shown

    @property
    def volume(self) -> Volume | None:
        return self._volume

    def show_volume(self, volume: Volume) -> None:
        before, self._volume = self._volume, volume
        parts = ("" if volume.size is None else disk(volume.size), tr("used by {names}", names=volume.used_by))
        self.tell(
            volume.title,
            code=volume.name[:12] if volume.is_anonymous else "",
            copied=volume.name,
            about=", ".join(part for part in parts if part),
        )
        self.users.tell([Linked(key=c.id, text=c.name, note=c.image, state=c.state) for c in volume.users])
        facts = [(tr("Name"), volume.name, True), (tr("Driver"), volume.driver, False)]
        facts.append((tr("Where the engine runs"), volume.mountpoint, True))
        if volume.created_s:
            facts.append((tr("Made"), ago(volume.created_s), False))
        facts += [(name, value, True) for name, value in sorted(volume.labels.items())]
        self.facts.tell(facts)
        if before is None or before.name != volume.name:
            self._read(volume.name)
        self._show_files()

    def _show_files(self) -> None:
        """Read the files when they come into sight, of each volume once; the tab has a button to read again."""
        volume = self._volume
        if volume is None or self.stack.currentWidget() is not self.files or self._shown_files == volume.name:
            return
        self._shown_files = volume.name
        self.files.clear()
        self.files.show_source(Source.volume(volume.name))

    def forget_files(self) -> None:
        """The page is left: the files are read anew at the next visit."""
        self._shown_files = ""
        self.files.clear()

    def _read(self, name: str) -> None:
        client = self._session.client
        self._latest.run(
            lambda: client.volume_inspect(name), self.inspect.tell, lambda error: self.inspect.fail(str(error))
        )


class VolumesPage(TablePage[Volume]):
    """All volumes. Their sizes are measured while the page is shown."""

    def __init__(
        self,
        desk: Desk,
        session: EngineSession,
        volumes: Collection[Volume],
        containers: ContainerModel,
        undo: Undo,
        parent: QWidget | None = None,
    ) -> None:
        self._session, self._volumes, self._containers = session, volumes, containers
        self._actions = VolumeActions(desk, session, undo)
        self._moving = Moving(desk, session, lambda: self.rows.items())
        self._sizes: dict[str, int | None] = {}
        self._is_measuring = False
        self.card = VolumeDetail(desk, session)
        first = Button(desk.theme, desk.icons, tr("Create a volume…"), "plus", kind="primary", height=36)
        first.clicked.connect(self._actions.ask_create)
        empty = EmptyPage(
            desk.theme,
            desk.icons,
            tr("No volumes yet"),
            tr("A volume keeps files that outlive the container that wrote them."),
            (first, BinButton(desk, session, "volume")),
            "cove volume create data",
        )
        super().__init__(
            desk,
            title=tr("Volumes"),
            columns=columns(),
            segments=segments(),
            which=tr("Which volumes"),
            hint=tr("Filter by name"),
            key=lambda volume: volume.name,
            haystack=lambda volume: "\n".join((volume.name, volume.project, volume.used_by)),
            empty=empty,
            detail=self.card,
            bulk=(Act("delete", "trash", tr("Delete…"), "Del"),),
            parent=parent,
        )
        self.bin = BinButton(desk, session, "volume")
        self.add_button(self.bin)
        self.clean_up = Button(desk.theme, desk.icons, tr("Clean up…"), "recycle")
        self.clean_up.clicked.connect(lambda: self._actions.ask_clean_up(self.rows.items()))
        self.add_button(self.clean_up)
        self.import_button = Button(desk.theme, desk.icons, tr("Import…"), "upload-simple")
        self.import_button.clicked.connect(self._moving.ask_import)
        self.add_button(self.import_button)
        self.create_button = Button(desk.theme, desk.icons, tr("Create volume…"), "plus")
        self.create_button.clicked.connect(self._actions.ask_create)
        self.add_button(self.create_button)
        self.card.more.clicked.connect(self._on_more)
        self.card.export.clicked.connect(lambda: self._on_card("export"))
        self.card.clone.clicked.connect(lambda: self._on_card("clone"))
        self.add_keys({"F2": lambda: self.do("rename", self.view.targets())})
        self.follow(volumes.changed, *changes_of(containers))
        self._clock = QTimer(self)
        self._clock.setInterval(MEASURE_AGAIN_MS)
        self._clock.timeout.connect(self._measure)

    def show_place(self, thing: str, tab: str) -> None:
        super().show_place(thing, tab)
        self._measure()
        self._clock.start()

    def leave(self) -> None:
        self._clock.stop()
        self.card.forget_files()

    def load(self) -> None:
        containers = self._containers.containers()
        self.rows.load(
            replace(volume.with_users(containers), size=self._sizes.get(volume.name))
            for volume in self._volumes.items or ()
        )
        if self.isVisible() and any(v.name not in self._sizes for v in self._volumes.items or ()):
            self._measure()

    def _measure(self) -> None:
        """Ask the engine for the sizes, once at a time."""
        if self._is_measuring or not self._session.now.phase.is_usable:
            return
        self._is_measuring = True
        client = self._session.client

        def told(sizes: dict[str, int]) -> None:
            self._is_measuring = False
            self._sizes = {volume.name: sizes.get(volume.name) for volume in self.rows.items()}
            self.rows.load(replace(volume, size=sizes.get(volume.name)) for volume in self.rows.items())

        def failed(_error: Exception) -> None:
            self._is_measuring = False  # the sizes stay unknown; a lost contact is told elsewhere

        self._session.workers.run(lambda: measured(client), told, failed)

    # TablePage -------------------------------------------------------------------------------------------------------

    def summarize(self) -> str:
        volumes = self.rows.items()
        if not volumes:
            return ""
        text = counted(len(volumes), "{n} volume", "{n} volumes")
        sizes = [volume.size for volume in volumes if volume.size is not None]
        if len(sizes) < len(volumes):
            return text
        text = tr("{text}, {size}", text=text, size=disk(sum(sizes)))
        unused = sum(volume.size or 0 for volume in volumes if not volume.in_use)
        return tr("{text}, {size} not used by any container", text=text, size=disk(unused)) if unused else text

    def no_match_title(self, text: str) -> str:
        return tr("No volume matches “{text}”", text=text) if text else tr("No volume here")

    def acts(self, items: Sequence[Volume]) -> Sequence[Act | None]:
        copy = Act("copy", "copy-simple", tr("Copy name") if len(items) == 1 else tr("Copy names"), "Ctrl+C")
        delete = tr("Delete…") if len(items) == 1 else tr("Delete {n}…", n=len(items))
        alone: tuple[Act | None, ...] = ()
        if len(items) == 1:
            alone = (
                Act("export", "export", tr("Export…")),
                Act("clone", "copy-simple", tr("Clone…")),
                Act("rename", "pencil-simple", tr("Rename…"), "F2"),
                None,
            )
        return (*alone, copy, None, Act("delete", "trash", delete, "Del"))

    def do(self, key: str, items: Sequence[Volume]) -> None:
        if key == "copy":
            QGuiApplication.clipboard().setText("\n".join(volume.name for volume in items))
        elif key == "delete":
            self._actions.ask_delete(items)
        elif len(items) == 1:
            self._move(key, items[0])

    def _move(self, key: str, volume: Volume) -> None:
        if key == "rename" and volume.in_use:
            self._actions.explain(
                [volume], tr("A volume can be renamed when no container has it, not even a stopped one.")
            )
            return
        calls = {"export": self._moving.ask_export, "clone": self._moving.ask_clone, "rename": self._moving.ask_rename}
        calls[key](volume)

    def show_detail(self, item: Volume) -> None:
        self.card.show_volume(item)

    def _on_card(self, key: str) -> None:
        if (volume := self.card.volume) is not None:
            self.do(key, [volume])

    def _on_more(self) -> None:
        volume = self.card.volume
        if volume is not None:
            open_below(self.card.more, self.desk.icons, self.acts([volume]), lambda key: self.do(key, [volume]))
