"""Makes Cove's window as `cove-desktop` does, on an engine of its caller's."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QSettings

from desktop.client.engine import Endpoint
from desktop.context import Context
from desktop.paths import HostPaths
from desktop.ui.kit.theme import Theme
from desktop.ui.shell.app import Cove
from desktop.ui.shell.application import Application
from desktop.ui.welcome.first import note_seen


def cove_on(
    host: str, app: Application, theme: Theme, paths: HostPaths, folder: Path, *, is_first: bool = False
) -> Cove:
    """Cove on the engine at the address `host`, not opened yet. What the window remembers lies in `folder`; unless
    `is_first`, it has been opened before, and there is no welcome."""
    return cove_in(Context("address", Endpoint.parse(host), "-H"), app, theme, paths, folder, is_first=is_first)


def cove_in(
    context: Context, app: Application, theme: Theme, paths: HostPaths, folder: Path, *, is_first: bool = False
) -> Cove:
    """Cove in `context`, not opened yet."""
    settings = QSettings(str(folder / "window.ini"), QSettings.Format.IniFormat)
    if not is_first:
        note_seen(settings)
    return Cove(app, theme, context, paths, settings)
