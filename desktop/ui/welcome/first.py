"""Whether the welcome is to be shown by itself: once, on a machine where nothing of Cove's is yet."""

from __future__ import annotations

from PySide6.QtCore import QSettings

from desktop.paths import HostPaths

SEEN = "welcome/seen"  # in the window's own settings


def is_first_start(settings: QSettings, paths: HostPaths) -> bool:
    """Whether no window of Cove's has been opened here yet, nothing was set, and there is no VM's disk."""
    return not settings.allKeys() and not paths.config_file.exists() and not paths.data_disk.exists()


def note_seen(settings: QSettings) -> None:
    """Do not show it by itself again."""
    settings.setValue(SEEN, True)
