"""The button on the pages of what was deleted, which leads to the bin."""

from __future__ import annotations

from desktop.ui.feed.session import EngineSession
from desktop.ui.kit.buttons import Button
from desktop.ui.kit.page import Desk, Place
from desktop.ui.kit.words import tr


class BinButton(Button):
    """Says how many of a kind are in the bin; hidden while there are none."""

    def __init__(self, desk: Desk, session: EngineSession, kind: str) -> None:
        super().__init__(
            desk.theme, desk.icons, tr("Bin"), "arrow-counter-clockwise", tip=tr("Deleted, to be brought back")
        )
        self._bin, self._kind = session.bin, kind
        self._bin.changed.connect(self._count)
        self.clicked.connect(lambda: desk.go(Place("bin")))
        self._count()

    def _count(self) -> None:
        count = sum(entry.kind == self._kind for entry in self._bin.items or ())
        self.set_label(tr("Bin {n}", n=count))
        self.setVisible(bool(count))
