"""Reading and changing settings, wherever they are kept."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from desktop import context
from desktop.context import ContextError
from desktop.paths import HostPaths
from desktop.settings.table import SETTINGS, START_AT_LOGIN, Machine, Value

if TYPE_CHECKING:
    from desktop.platform.base import LoginEntry

_DISK_HEADER = 32  # bytes of a qcow2 file up to the end of its size, which is big-endian at 24 (qemu's qcow2.txt)


class SettingsError(Exception):
    """A setting cannot be read or written; str() is for the user."""


class Store:
    """The settings of one home. All calls block for moments, and look at what there is now."""

    def __init__(self, paths: HostPaths, environ: Mapping[str, str]) -> None:
        self._paths, self._environ = paths, environ

    def value(self, name: str) -> object:
        """As it was set, be it usable or not; None: it is not set. Raises SettingsError."""
        return self.values()[name] if name != START_AT_LOGIN else self._at_login()

    def values(self) -> dict[str, object]:
        """All settings, as `value` has them. Raises SettingsError."""
        try:
            kept = context.read_settings(self._paths)
        except ContextError as e:
            raise SettingsError(str(e)) from e
        return {name: self._at_login() if name == START_AT_LOGIN else _at(kept, name) for name in SETTINGS}

    def set(self, name: str, text: str) -> None:
        """Raises ValueError: `text` is no value of it; SettingsError."""
        value = SETTINGS[name].parse(text)
        if name == START_AT_LOGIN:
            self._login_entry().change(self._command() if value else None)
            return
        self._check_size(name, value)
        self._write(name, value)

    def unset(self, name: str) -> None:
        """Let the default count. Raises SettingsError."""
        if name == START_AT_LOGIN:
            self._login_entry().change(None)
        else:
            self._write(name, None)

    def machine(self) -> Machine:
        """What bounds the VM's size."""
        from desktop.platform import platform_for

        platform = platform_for(sys.platform)
        return Machine(
            memory_mb=platform.memory_mb()[0],
            cpus=os.cpu_count() or 1,
            disk_gb=_disk_gb(self._paths.data_disk),
            accelerators=(*platform.accelerators, "tcg"),
            has_native=platform.name == "linux",
        )

    @property
    def file(self) -> Path:
        return self._paths.config_file

    def _check_size(self, name: str, value: Value) -> None:
        """Raises ValueError for a size of the VM that this machine cannot give."""
        if name not in ("vm.memory_mb", "vm.disk_gb") or not isinstance(value, int):
            return
        machine = self.machine()
        if name == "vm.memory_mb" and value > machine.memory_mb:
            raise ValueError(f"this computer has {machine.memory_mb} MB")
        if name == "vm.disk_gb" and value < machine.disk_gb:
            raise ValueError(f"the disk has {machine.disk_gb} GB already, and never shrinks")

    def _write(self, name: str, value: Value | None) -> None:
        """None removes it. Raises SettingsError."""
        try:
            context.change_settings(self._paths, lambda settings: _changed(settings, name, value))
        except ContextError as e:
            raise SettingsError(str(e)) from e

    # --- what the platform keeps

    def _login_entry(self) -> LoginEntry:
        from desktop.platform import platform_for

        return platform_for(sys.platform).login_entry(self._environ)

    def _at_login(self) -> object:
        return True if self._login_entry().is_there() else None

    def _command(self) -> list[str]:
        """What is started at login. Raises SettingsError."""
        beside = Path(sys.executable).with_name("cove-desktop")
        program = str(beside) if beside.exists() else shutil.which("cove-desktop")
        if program is None:
            raise SettingsError("the program cove-desktop is missing")
        return [program, "--background"]


def _at(settings: object, name: str) -> object:
    for part in name.split("."):
        settings = settings.get(part) if isinstance(settings, dict) else None
    return settings


def _changed(settings: dict[str, object], name: str, value: Value | None) -> dict[str, object]:
    group, dot, key = name.partition(".")
    inner = settings.get(group) if dot else settings
    place = dict(inner) if isinstance(inner, dict) else {}
    if value is None:
        place.pop(key or group, None)
    else:
        place[key or group] = value
    if not dot:
        return place
    changed = {**settings, group: place}
    if not place:
        del changed[group]
    return changed


def _disk_gb(path: Path) -> int:
    """The size of the VM's disk, read off its header: qemu-img would be a process of its own. 0: there is no disk."""
    try:
        with open(path, "rb") as file:
            header = file.read(_DISK_HEADER)
    except OSError:
        return 0
    return int.from_bytes(header[24:32], "big") >> 30 if header[:4] == b"QFI\xfb" else 0
