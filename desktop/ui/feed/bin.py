"""What was deleted and can be brought back, as the window lists it."""

from __future__ import annotations

from desktop.client import bin
from desktop.client.bin import Deleted
from desktop.client.engine import EngineClient
from desktop.ui.feed.collection import Collection
from desktop.ui.feed.happening import Happening
from desktop.ui.kit.words import tr


class BinFeed(Collection[Deleted]):
    """The entries of the engine's bin. `is_there` is False while it is not known whether the engine has one: an engine
    without a bin deletes for good, whatever it is asked."""

    def __init__(self) -> None:
        super().__init__("bin", tr("What can be brought back"), self._read_entries, _changes)
        self.is_there = False

    def _read_entries(self, client: EngineClient) -> list[Deleted]:
        found = bin.entries(client)
        self.is_there = found is not None
        return found or []


def _changes(happening: Happening) -> bool:
    return happening.kind == "bin"
