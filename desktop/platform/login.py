"""What starts a program when the user logs in: a desktop entry, a launch agent, a value in the registry."""

from __future__ import annotations

import plistlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

NAME = "cove"
LABEL = "cove.desktop"
RUN_KEY = r"Software\Microsoft\Windows\CurrentVersion\Run"


class FileEntry:
    """An entry that is a file: there, or not. `text` makes its content from the command."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def is_there(self) -> bool:
        return self._file.is_file()

    def change(self, command: Sequence[str] | None) -> None:
        """Start `command` at login from now on; None: nothing. Raises OSError."""
        if command is None:
            self._file.unlink(missing_ok=True)
            return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_bytes(self.content(command))

    def content(self, command: Sequence[str]) -> bytes:
        raise NotImplementedError


class Autostart(FileEntry):
    """freedesktop.org's Desktop Application Autostart Specification."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        config = environ.get("XDG_CONFIG_HOME") or str(Path(environ.get("HOME") or Path.home()) / ".config")
        super().__init__(Path(config) / "autostart" / f"{NAME}.desktop")

    def content(self, command: Sequence[str]) -> bytes:
        words = " ".join(map(_quoted, command))
        return f"[Desktop Entry]\nType=Application\nName=Cove\nExec={words}\nTerminal=false\n".encode()


class LaunchAgent(FileEntry):
    """macOS: launchd.plist(5) in the user's LaunchAgents."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        home = Path(environ.get("HOME") or Path.home())
        super().__init__(home / "Library" / "LaunchAgents" / f"{LABEL}.plist")

    def content(self, command: Sequence[str]) -> bytes:
        return plistlib.dumps({"Label": LABEL, "ProgramArguments": list(command), "RunAtLoad": True})


class RunKey:
    """Windows: a value of the user's Run key."""

    def is_there(self) -> bool:
        if sys.platform != "win32":
            raise NotImplementedError
        import winreg

        try:
            with winreg.OpenKey(winreg.HKEY_CURRENT_USER, RUN_KEY) as key:
                winreg.QueryValueEx(key, NAME)
        except FileNotFoundError:
            return False
        return True

    def change(self, command: Sequence[str] | None) -> None:
        """As `FileEntry.change`."""
        if sys.platform != "win32":
            raise NotImplementedError
        import subprocess
        import winreg

        with winreg.CreateKey(winreg.HKEY_CURRENT_USER, RUN_KEY) as key:
            if command is not None:
                winreg.SetValueEx(key, NAME, 0, winreg.REG_SZ, subprocess.list2cmdline(command))
            elif self.is_there():
                winreg.DeleteValue(key, NAME)


def _quoted(word: str) -> str:
    """A word of Exec, by the Desktop Entry Specification."""
    escaped = word.replace("\\", "\\\\\\\\").replace('"', '\\\\"').replace("`", "\\\\`").replace("$", "\\\\$")
    return f'"{escaped}"'.replace("%", "%%") if escaped != word or " " in word else word.replace("%", "%%")
