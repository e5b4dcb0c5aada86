"""The Bin page: deleted containers, volumes and images, how long they stay, what they take; bring back, delete."""

from __future__ import annotations

import time
from collections.abc import Sequence

from PySide6.QtWidgets import QWidget

from desktop.client import bin
from desktop.client.bin import Deleted
from desktop.ui.bin.undo import Gone, Undo
from desktop.ui.feed.session import EngineSession
from desktop.ui.kit.buttons import Button
from desktop.ui.kit.dialogs import Question
from desktop.ui.kit.elide import fit_start
from desktop.ui.kit.empty import EmptyPage
from desktop.ui.kit.menus import Act
from desktop.ui.kit.page import Desk
from desktop.ui.kit.rows import Cell, Column, Segment
from desktop.ui.kit.states import State
from desktop.ui.kit.table_page import TablePage
from desktop.ui.kit.words import ago, counted, disk, from_rfc3339, short_id, shortened, span, tr

_ICONS = {"container": "cube", "volume": "database", "image": "stack"}


def columns() -> tuple[Column[Deleted], ...]:
    return (
        Column(
            title=tr("Name"),
            cell=lambda e: Cell(text=e.name, icon=_ICONS.get(e.kind, "trash"), role="name", tone="text"),
            tip=lambda e: e.subject,
            share=3,
        ),
        Column(title=tr("What it was"), cell=lambda e: Cell(text=_what(e), role="body"), share=3, fit=fit_start),
        Column(
            title=tr("Deleted"),
            cell=lambda e: Cell(text=ago(from_rfc3339(e.deleted) or 0.0)),
            order=lambda e: from_rfc3339(e.deleted) or 0.0,
            width=130,
            right=True,
            descends=True,
        ),
        Column(
            title=tr("Gone in"),
            cell=lambda e: Cell(text=span((from_rfc3339(e.expires) or 0.0) - time.time())),
            order=lambda e: from_rfc3339(e.expires) or 0.0,
            width=110,
            right=True,
        ),
        Column(
            title=tr("Size"),
            cell=lambda e: Cell(text=disk(e.size_bytes)),
            order=lambda e: e.size_bytes,
            width=92,
            right=True,
            descends=True,
        ),
    )


def _what(entry: Deleted) -> str:
    if entry.kind == "volume":
        return tr("volume")
    if entry.kind == "image":
        return tr("image {id}", id=short_id(entry.subject))
    text = tr("container of {image}", image=entry.image)
    if entry.volumes:
        volumes = counted(len(entry.volumes), "{n} anonymous volume", "{n} anonymous volumes")
        return tr("{text}, with {volumes}", text=text, volumes=volumes)
    return text


class BinPage(TablePage[Deleted]):
    """All that can be brought back."""

    def __init__(self, desk: Desk, session: EngineSession, undo: Undo, parent: QWidget | None = None) -> None:
        self._session, self._undo = session, undo
        empty = EmptyPage(
            desk.theme,
            desk.icons,
            tr("The bin is empty"),
            tr("Containers, volumes and images that are deleted here stay for 24 hours and can be brought back."),
            (),
            "cove bin ls",
        )
        super().__init__(
            desk,
            title=tr("Bin"),
            columns=columns(),
            segments=(
                Segment(tr("All"), lambda _: True),
                Segment(tr("Containers"), lambda e: e.kind == "container"),
                Segment(tr("Volumes"), lambda e: e.kind == "volume"),
                Segment(tr("Images"), lambda e: e.kind == "image"),
            ),
            which=tr("What kind"),
            hint=tr("Filter by name"),
            key=lambda e: e.id,
            haystack=lambda e: "\n".join((e.name, e.subject, e.image)),
            empty=empty,
            bulk=(
                Act("restore", "arrow-counter-clockwise", tr("Bring back")),
                Act("delete", "trash", tr("Delete for good…"), "Del"),
            ),
            parent=parent,
        )
        self.empty_button = Button(desk.theme, desk.icons, tr("Empty the bin…"), "trash")
        self.empty_button.clicked.connect(lambda: self._ask_delete(self.rows.items()))
        self.add_button(self.empty_button)
        self.follow(session.bin.changed)

    def load(self) -> None:
        self.rows.load(self._session.bin.items or ())
        self.empty_button.setEnabled(bool(self._session.bin.items))

    def summarize(self) -> str:
        entries = self.rows.items()
        if not entries:
            return ""
        size = disk(sum(entry.size_bytes for entry in entries))
        return counted(len(entries), "{n} deletion, {size} on disk", "{n} deletions, {size} on disk", size=size)

    def no_match_title(self, text: str) -> str:
        return tr("Nothing deleted matches “{text}”", text=text) if text else tr("Nothing of that kind is in the bin")

    def open_item(self, item: Deleted) -> None:
        self.do("restore", [item])

    def acts(self, items: Sequence[Deleted]) -> Sequence[Act | None]:
        acts: list[Act | None] = [Act("restore", "arrow-counter-clockwise", tr("Bring back"), "Return")]
        if len(items) == 1:
            acts.append(Act("rename", "pencil-simple", tr("Bring back under another name…")))
        return (*acts, None, Act("delete", "trash", tr("Delete for good…"), "Del"))

    def do(self, key: str, items: Sequence[Deleted]) -> None:
        if not items:
            return
        gone = [Gone(entry.id, entry.name) for entry in items]
        if key == "restore":
            self._undo.restore(gone)
        elif key == "rename":
            self._undo.ask_name(gone[0])
        elif key == "delete":
            self._ask_delete(items)

    def _ask_delete(self, entries: Sequence[Deleted]) -> None:
        desk, one = self.desk, entries[0]
        size = disk(sum(entry.size_bytes for entry in entries))
        many = counted(len(entries), "Delete {n} for good", "Delete {n} for good")
        Question(
            desk.theme,
            desk.icons,
            desk.window,
            title=tr("Delete {name} for good?", name=one.name) if len(entries) == 1 else f"{many}?",
            facts=[tr("{size} of the disk become free. This cannot be undone.", size=size)],
            verb=tr("Delete {name}", name=shortened(one.name)) if len(entries) == 1 else many,
            safe=tr("Keep it") if len(entries) == 1 else tr("Keep them"),
            names=[entry.name for entry in entries] if len(entries) > 1 else (),
            sure=lambda _checked: self._delete(entries),
        ).open()

    def _delete(self, entries: Sequence[Deleted]) -> None:
        client, toasts = self._session.client, self.desk.toasts
        for entry in entries:

            def failed(error: Exception, entry: Deleted = entry) -> None:
                title = tr("{name} was not deleted", name=shortened(entry.name))
                toasts.tell(title, str(error), State.PROBLEM)

            def work(entry: Deleted = entry) -> int:
                return bin.delete(client, entry.id)

            self._session.workers.run(work, None, failed)
