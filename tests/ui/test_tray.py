"""The tray's menu: what is wanted first, and no wider than a menu is."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QObject
from PySide6.QtWidgets import QApplication

from desktop.ui.containers.model import ContainerModel
from desktop.ui.feed.container import Container
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.theme import Theme
from desktop.ui.shell.tray import MOST_CONTAINERS, Tray

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", "No such plugin", extend=True)


def container(name: str, started_s: float, status: str = "running", error: str = "") -> Container:
    return Container(
        id=name, name=name, image="i", status=status, started_s=started_s, finished_s=started_s, error=error
    )


def entries(qapp: QApplication, theme: Theme, containers: list[Container]) -> list[str]:
    """The texts of the menu over these containers."""
    owner, model = QObject(), ContainerModel()
    model.load(containers)
    tray = Tray(theme, Icons(theme), model, lambda: (), owner)
    tray.build()
    return [entry.text() for entry in tray.menu.actions() if not entry.isSeparator()]


def test_the_latest_starts_come_first_and_the_rest_is_told(qapp: QApplication, theme: Theme) -> None:
    running = [container(f"c{n}", started_s=n) for n in range(12)]
    said = entries(qapp, theme, [*running, container("a-dead", 50, "exited")])
    assert [text for text in said if text.startswith("c")] == [f"c{n}" for n in range(11, 11 - MOST_CONTAINERS, -1)]
    assert "5 more, in the window" in said
    assert not any(text.startswith("a-dead") for text in said)


def test_no_entry_is_wider_than_two_short_words(qapp: QApplication, theme: Theme) -> None:
    long = container("n" * 200, 1, "exited", error="e" * 300)
    assert max(len(text) for text in entries(qapp, theme, [long])) < 70
