"""`cove-desktop` as a process on a desktop with a tray."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QSettings
from pytestqt.qtbot import QtBot

from desktop.ui.welcome.first import note_seen
from tests.ui.screen import LIMIT_MS, Screen, Tray

END_LIMIT_S = 60


class Program:
    """A `cove-desktop` process whose window is visible and whose icon is in the tray."""

    def __init__(self, screen: Screen, tray: Tray, words: Sequence[str], home: Path, qtbot: QtBot) -> None:
        """`words` name its engine, as on the command line."""
        self.screen, self.tray, self._qtbot = screen, tray, qtbot
        icons = tray.count()
        note_seen(QSettings(str(home / "window.ini"), QSettings.Format.IniFormat))  # the list, not the welcome
        command: list[str | Path] = [Path(sys.executable).with_name("cove-desktop"), *words]
        desktop = {**screen.environment, **tray.environment, "COVE_HOME": str(home), "LC_ALL": "C.UTF-8"}
        self.process = subprocess.Popen(command, env={**os.environ, **desktop})
        try:
            qtbot.waitUntil(lambda: tray.count() > icons and bool(self.windows()), timeout=LIMIT_MS)
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        self.window = next(iter(self.windows()))
        screen.focus(self.window)

    def windows(self) -> dict[int, tuple[int, int]]:
        """The main window if it is visible; no other program runs on the screen."""
        return {window: size for window, size in self.screen.windows().items() if size[0] >= 960}

    def hide(self) -> None:
        """Close the window to the tray."""
        self.screen.key("w", "Control_L")
        self._qtbot.waitUntil(lambda: not self.windows(), timeout=LIMIT_MS)

    def wait_until_ended(self) -> int:
        """Wait for the end; returns the exit status. Raises TimeoutExpired if the process does not end."""
        return self.process.wait(END_LIMIT_S)
