"""One image: name, digest, layers, the containers that use it, inspect data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from PySide6.QtCore import QTimer, Signal
from PySide6.QtGui import QHideEvent, QShowEvent
from PySide6.QtWidgets import QWidget

from desktop.ui.feed.session import EngineSession
from desktop.ui.feed.workers import Latest
from desktop.ui.images.layer import ImageLayer
from desktop.ui.images.layer_stack import LayerStack
from desktop.ui.images.model import NamedImage
from desktop.ui.kit.buttons import Button
from desktop.ui.kit.cards import FactsView
from desktop.ui.kit.detail import DetailCard
from desktop.ui.kit.inspect import InspectTab
from desktop.ui.kit.links import Linked, Links
from desktop.ui.kit.page import Desk
from desktop.ui.kit.words import disk, short_id, tr

AGE_MS = 10_000  # how often the age is written again


class ImageDetail(DetailCard):
    """One image. Signals: run_asked(name), more_asked(button), container_asked(name)."""

    run_asked = Signal(str)
    more_asked = Signal(QWidget)
    container_asked = Signal(str)

    def __init__(self, desk: Desk, session: EngineSession, parent: QWidget | None = None) -> None:
        self.layers = LayerStack(desk.theme)
        self.users = Links(desk.theme, tr("No container uses it."))
        self.platforms = FactsView(desk.theme, desk.icons, "cpu", tr("Platforms"))
        self.inspect = InspectTab(desk.theme, desk.icons)
        views = (
            (tr("Layers"), self.layers),
            (tr("Used by"), self.users),
            (tr("Platforms"), self.platforms),
            (tr("Inspect"), self.inspect),
        )
        super().__init__(desk, views, tr("Views of the image"), parent)
        self._session = session
        self._latest = Latest(session.workers)
        self._row: NamedImage | None = None
        self._architecture = ""
        self.run = Button(desk.theme, desk.icons, tr("Run…"), "play", kind="primary")
        self.more = Button(desk.theme, desk.icons, icon="dots-three", name=tr("More"))
        self.add_button(self.run)
        self.add_button(self.more)
        self.run.clicked.connect(lambda: self._row and self.run_asked.emit(self._row.key))
        self.more.clicked.connect(lambda: self.more_asked.emit(self.more))
        self.users.chosen.connect(self.container_asked)
        self._clock = QTimer(self)
        self._clock.setInterval(AGE_MS)
        self._clock.timeout.connect(self._show_names)

    @property
    def row(self) -> NamedImage | None:
        return self._row

    def show_image(self, row: NamedImage) -> None:
        same = self._row is not None and (self._row.image.id, self._row.tag) == (row.image.id, row.tag)
        self._row = row
        self.users.tell([Linked(key=name, text=name) for name in row.image.used_by])
        if not same:
            self._architecture = ""
            self._read(row)
        self._show_names()

    def _show_names(self) -> None:
        if (row := self._row) is None:
            return
        age = row.age
        parts = (self._architecture, tr("built {age} ago", age=age) if age and age[0].isdigit() else age)
        self.tell(
            "".join(row.title),
            code=f"sha256:{short_id(row.image.id)}",
            copied=row.image.id,
            about=", ".join(part for part in parts if part),
        )

    def _read(self, row: NamedImage) -> None:
        client, image_id = self._session.client, row.image.id

        def ask() -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]:
            # Only a name leads to the images of other platforms; an id is that of one image.
            named = client.image_inspect(row.key, manifests=True)
            return client.image_inspect(image_id), client.image_history(image_id), named

        def told(answer: tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]) -> None:
            data, history, named = answer
            self._architecture = str(data.get("Architecture", ""))
            self._show_names()
            self.inspect.tell(data)
            self.layers.set_layers(layers_of(data, history))
            self.platforms.tell(platforms_of(named))

        def failed(error: Exception) -> None:
            self.layers.set_layers([])
            self.platforms.tell([])
            self.inspect.fail(str(error))

        self._latest.run(ask, told, failed)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._show_names()
        self._clock.start()

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self._clock.stop()


def platforms_of(data: Mapping[str, Any]) -> list[tuple[str, str, bool]]:
    """The platforms that an image's name has, and which of them are here; from its inspect data with manifests."""
    manifests = [entry for entry in data.get("Manifests") or () if entry.get("Kind") == "image"]
    if not manifests:  # an image without a list, or another engine
        return [
            (_platform({key.lower(): data.get(key) for key in ("Os", "Architecture", "Variant")}), tr("here"), False)
        ]
    return [
        (
            _platform((entry.get("ImageData") or {}).get("Platform") or {}),
            tr("here, {size}", size=disk(int((entry.get("Size") or {}).get("Total") or 0)))
            if entry.get("Available")
            else tr("at its registry, not here"),
            False,
        )
        for entry in manifests
    ]


def _platform(told: Mapping[str, Any]) -> str:
    parts = (str(told.get(key) or "") for key in ("os", "architecture", "variant"))
    return "/".join(part for part in parts if part)


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
