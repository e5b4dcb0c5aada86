"""What every page has in common, and what the window offers to pages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLineEdit, QWidget

from desktop.ui.kit.icons import Icons
from desktop.ui.kit.tasks import Tasks
from desktop.ui.kit.theme import Theme
from desktop.ui.kit.toasts import Toasts


@dataclass(frozen=True, slots=True)
class Place:
    """Where the window is: a page, the thing shown on it (a container's id, a run), and its tab."""

    page: str
    thing: str = ""
    tab: str = ""


@dataclass(frozen=True, slots=True)
class Command:
    """An entry of the palette's "Do" section."""

    title: str
    icon: str
    call: Callable[[], object]


@dataclass(frozen=True, slots=True)
class Desk:
    """What the window offers to a page: looks, messages, running tasks, the way to other places.

    `window` is the parent of dialogs.
    """

    theme: Theme
    icons: Icons
    window: QWidget
    toasts: Toasts
    tasks: Tasks
    go: Callable[[Place], None]


class Page(QWidget):
    """One page of the window. The window makes it at its first visit and calls `show_place` at each."""

    def __init__(self, desk: Desk, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("page")
        self.desk = desk

    def show_place(self, thing: str, tab: str) -> None:
        """The window has come to this page; `thing` and `tab` may be empty."""

    def visible_ids(self) -> Sequence[str]:
        """Ids of the running containers whose usage is shown: it is measured while the window is visible."""
        return ()

    @property
    def shows_traffic(self) -> bool:
        """Whether the traffic of running containers is shown: it is measured while the window is visible."""
        return False

    def leave(self) -> None:
        """The window goes to another page: end streams and timers."""

    @property
    def search_field(self) -> QLineEdit | None:
        """The field that Ctrl+F goes to."""
        return None

    def go_find(self) -> None:
        """Ctrl+F."""
        field = self.search_field
        if field is not None and field.isVisible():
            field.setFocus(Qt.FocusReason.ShortcutFocusReason)
            field.selectAll()

    def first_focus(self) -> QWidget:
        """The widget that gets the focus by F6 and when the window comes to this page."""
        return self

    def next_tab(self, by: int) -> None:
        """Ctrl+Tab."""
