"""The page object of the Registries page."""

from __future__ import annotations

from PySide6.QtWidgets import QLabel
from pytestqt.qtbot import QtBot

from desktop.ui.registries.page import RegistriesPage as RegistriesView
from desktop.ui.shell.app import Cove
from tests.ui.finding import button
from tests.ui.hands import LIMIT_MS, Hands
from tests.ui.made import made


class RegistriesPage:
    def __init__(self, cove: Cove, qtbot: QtBot) -> None:
        self._qtbot, self._hands = qtbot, Hands(qtbot)
        self._page = made(cove, RegistriesView)

    def wait_until_read(self) -> None:
        self._qtbot.waitUntil(lambda: self._page.shown is not None, timeout=LIMIT_MS)

    def texts(self) -> list[str]:
        return [label.text() for label in self._page.findChildren(QLabel) if label.isVisible()]

    def wait_until_says(self, text: str) -> None:
        self._qtbot.waitUntil(lambda: any(text in said for said in self.texts()), timeout=LIMIT_MS)

    def wait_until_gone(self, text: str) -> None:
        self._qtbot.waitUntil(lambda: not any(text in said for said in self.texts()), timeout=LIMIT_MS)

    def tab_stops(self) -> list[str]:
        return self._hands.tab_stops(self._page)

    def press(self, text: str) -> None:
        """Click a button by its text or accessible name."""
        self._hands.click(button(self._page, text))

    def test(self, address: str) -> None:
        """Fill in the address, and press Test."""
        self._hands.fill(self._page.address, address)
        self._hands.click(self._page.test_button)
