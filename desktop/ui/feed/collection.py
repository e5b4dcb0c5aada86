"""Lists of the engine that are read once, and again only after an event that changes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from PySide6.QtCore import QObject, Signal

from desktop.client.engine import EngineClient
from desktop.ui.feed.happening import Happening

T = TypeVar("T")


class Collection(QObject, Generic[T]):
    """All things of one kind: images, volumes, networks. The session reads it at each contact and after its events.

    `items` is None until the first answer; the last known things stay while contact is lost.
    Signals: changed() after each answer that differs from the one before.
    """

    changed = Signal()

    def __init__(
        self,
        key: str,
        title: str,
        read: Callable[[EngineClient], list[T]],
        is_changed_by: Callable[[Happening], bool],
        parent: QObject | None = None,
    ) -> None:
        """`read` runs in a reader thread. `is_changed_by` tells which events make the list outdated; `title` names it
        in a message about a failed read."""
        super().__init__(parent)
        self.key, self.title, self.read, self.is_changed_by = key, title, read, is_changed_by
        self.items: list[T] | None = None

    def set_items(self, items: list[T]) -> None:
        """Take an answer; called by the session on the GUI thread."""
        if items != self.items:
            self.items = items
            self.changed.emit()
