"""What a user sees and does in a view of files, which a container's page and a volume's card have."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QMimeData, QRect, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from desktop.ui.files.view import FilesView
from desktop.ui.shell.app import Cove
from tests.ui.finding import indexes
from tests.ui.hands import LIMIT_MS, NONE, Hands


class FilesPart:
    """Acts by mouse and keyboard. A page that has a view of files is one of these."""

    _cove: Cove
    _qtbot: QtBot
    _hands: Hands

    @property
    def _files(self) -> FilesView:
        raise NotImplementedError

    def files(self) -> list[str]:
        """The names in the folder that is shown, in order."""
        return [entry.name for entry in self._files.filter.items()]

    def file_marks(self) -> dict[str, str]:
        """The names with a mark, and the mark."""
        return {entry.name: entry.mark for entry in self._files.filter.items() if entry.mark}

    def wait_until_in_folder(self, path: str, *names: str) -> None:
        tab = self._files

        def look() -> bool:
            return tab.place.text() == path and set(names) <= set(self.files())

        self._qtbot.waitUntil(look, timeout=LIMIT_MS)

    def _file(self, name: str) -> QRect:
        view = self._files.view
        index = next(i for i in indexes(view.model()) if i.data().split(" → ")[0] == name)
        view.scrollTo(index)
        return view.visualRect(index)

    def choose_file(self, name: str) -> None:
        self._hands.click(self._files.view.viewport(), self._file(name).center())

    def open_file(self, name: str) -> None:
        """Double-click an entry."""
        self._hands.double_click(self._files.view.viewport(), self._file(name).center())

    def file_menu_on(self, name: str) -> list[str]:
        """Right-click an entry; returns what its menu offers."""
        return self._hands.open_menu_on(self._files.view.viewport(), self._file(name).center())

    def go_to_folder(self, path: str) -> None:
        """Type a folder's path."""
        self._hands.fill(self._files.place, path)
        self._hands.key(self._cove.window, Qt.Key.Key_Return)

    def wait_until_previewed(self, text: str) -> None:
        self._qtbot.waitUntil(lambda: text in self._files.preview.text.toPlainText(), timeout=LIMIT_MS)

    @property
    def file_facts(self) -> str:
        """What is said about the chosen file."""
        return self._files.preview.about.text()

    def drop(self, *paths: Path) -> None:
        """Drop files of this computer on the visible tab."""
        data = QMimeData()
        data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
        tab, copy = self._files, Qt.DropAction.CopyAction
        left = Qt.MouseButton.LeftButton
        enter = QDragEnterEvent(tab.rect().center(), copy, data, left, NONE)
        QApplication.sendEvent(tab, enter)
        assert enter.isAccepted(), "the tab takes nothing"
        QApplication.sendEvent(tab, QDropEvent(tab.rect().center().toPointF(), copy, data, left, NONE))
