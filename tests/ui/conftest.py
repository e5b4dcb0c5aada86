"""The window under test: offscreen, on a real engine, with its settings in a temporary folder."""

from __future__ import annotations

import os

os.environ["QT_QPA_PLATFORM"] = "offscreen"  # before Qt is loaded

from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from PySide6.QtCore import QMimeDatabase
from pytestqt.qtbot import QtBot

from desktop.client.engine import ApiError
from desktop.paths import host_paths
from desktop.ui.kit.icons import Icons
from desktop.ui.kit.theme import Theme
from desktop.ui.shell.application import Application
from tests.support.engine import NativeEngine
from tests.ui.opening import cove_on
from tests.ui.window import Window

OpenWindow = Callable[[NativeEngine], Window]


@pytest.fixture(scope="session")
def qapp_cls() -> type[Application]:
    """The class of the application that pytest-qt makes."""
    return Application


@pytest.fixture(scope="session", autouse=True)
def mime_types(qapp: Application) -> None:
    """Read the desktop's types of files, which Qt then keeps open: file dialogs ask for them."""
    QMimeDatabase().mimeTypeForName("text/plain").comment()


@pytest.fixture
def theme(qapp: Application) -> Theme:
    theme = Theme("light")
    theme.apply(qapp)
    return theme


@pytest.fixture
def icons(theme: Theme) -> Icons:
    return Icons(theme)


@pytest.fixture
def open_window(
    qapp: Application, qtbot: QtBot, theme: Theme, tmp_path: Path
) -> Iterator[Callable[[NativeEngine], Window]]:
    """Opens Cove's window on an engine. After the test it is closed and its threads are joined."""
    with ExitStack() as closing:

        def open_on(engine: NativeEngine) -> Window:
            paths = host_paths({"COVE_HOME": str(tmp_path / "home")}, "linux")
            cove = cove_on(engine.host, qapp, theme, paths, tmp_path)
            closing.callback(cove.window.deleteLater)
            closing.callback(cove.close)
            cove.open()
            window = Window(cove, qtbot)
            window.wait_until_connected()
            return window

        yield open_on


@pytest.fixture
def named(engine: NativeEngine) -> Iterator[Callable[..., str]]:
    """Run a container with the docker CLI; all of them are removed after the test."""
    made: list[str] = []

    def run(name: str, *command: str, flags: tuple[str, ...] = (), image: str = "busybox") -> str:
        made.append(name)
        engine.docker("run", "-d", "--name", name, *flags, image, *command)
        return name

    yield run
    for name in made:
        with suppress(ApiError), engine.client() as client:
            client.remove(name, force=True, volumes=True)
