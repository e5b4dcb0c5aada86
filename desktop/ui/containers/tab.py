"""What all tabs of a container's page have in common."""

from __future__ import annotations

from PySide6.QtWidgets import QLineEdit, QWidget

from desktop.ui.feed.container import Container


class ContainerTab(QWidget):
    """One view of a container. Only the visible tab works: the page calls `show_container` when the tab is chosen and
    at each change of the container, `cover` when another tab is chosen, `leave` when the page is left or shows another
    container."""

    def show_container(self, container: Container) -> None:
        """Show `container`, which may be the one already shown with new facts."""
        raise NotImplementedError

    def cover(self) -> None:
        """The tab is hidden: end timers and streams, keep what is shown."""

    def leave(self) -> None:
        """End everything. The container may be another one next time: nothing of this one may be seen then."""
        self.cover()

    @property
    def search_field(self) -> QLineEdit | None:
        """The field that Ctrl+F goes to."""
        return None
