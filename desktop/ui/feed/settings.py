"""The settings as the window shows them: read again whenever the file changes, written one at a time."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QFileSystemWatcher, QObject, Signal

from desktop.settings.store import SettingsError, Store
from desktop.settings.table import SETTINGS, Machine, Setting, Value
from desktop.ui.feed.workers import Latest, Workers


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One setting as it is now. `kept`: what was set, be it usable or not; `fault`: why it is not usable; `default`:
    what counts without it."""

    name: str
    kept: object = None
    default: Value | None = None
    fault: str = ""

    @property
    def setting(self) -> Setting:
        return SETTINGS[self.name]

    @property
    def value(self) -> Value | None:
        """What counts."""
        if self.kept is None or self.fault:
            return self.default
        return self.setting.checked(self.kept)


@dataclass(frozen=True, slots=True)
class Reading:
    """All settings, and the machine that they are for."""

    entries: Mapping[str, Entry]
    machine: Machine


class SettingsFeed(QObject):
    """`reading` is None before the first one, and while the settings cannot be read.

    Signals: changed(Reading) after each reading that differs from the one before, and after each change that was asked
    for here, be it without effect; failed(why).
    """

    changed = Signal(object)
    failed = Signal(str)

    def __init__(self, store: Store, workers: Workers, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._store, self._workers = store, workers
        self._turn = threading.Lock()  # one change after the other
        self._asked: deque[tuple[Callable[[], None], Callable[[str], None]]] = deque()  # the oldest first
        self._watcher: QFileSystemWatcher | None = QFileSystemWatcher()  # without a parent: it ends with `close`
        self._watcher.directoryChanged.connect(self._on_file)
        self._watcher.fileChanged.connect(self._on_file)
        self._reads = Latest(workers)
        self._changes = 0  # that are under way
        self._is_awaited = False  # a change was asked for here, and no reading has been told since
        self.reading: Reading | None = None

    def read(self) -> None:
        """Look at the settings now, and at every change from now on."""
        self._watch()
        self._reads.run(lambda: read(self._store), self._on_read, self._on_failed)

    def set(self, name: str, text: str, refused: Callable[[str], None]) -> None:
        """Change a setting; `refused(why)` if `text` cannot be its value or it cannot be written."""
        self._change(lambda: self._store.set(name, text), refused)

    def unset(self, name: str, refused: Callable[[str], None]) -> None:
        """Let the default count."""
        self._change(lambda: self._store.unset(name), refused)

    def _change(self, change: Callable[[], None], refused: Callable[[str], None]) -> None:
        def job() -> tuple[str, Callable[[str], None]]:
            with self._turn:  # the threads come here in any order, so each takes what was asked for first
                oldest, its_refused = self._asked.popleft()
                try:
                    oldest()
                except (ValueError, SettingsError, OSError) as e:
                    return str(e), its_refused
            return "", its_refused

        def told(result: tuple[str, Callable[[str], None]]) -> None:
            self._changes -= 1
            why, its_refused = result
            if why:
                its_refused(why)
            self.read()

        self._asked.append((change, refused))
        self._changes += 1
        self._is_awaited = True
        self._workers.run(job, told)

    def close(self) -> None:
        """Watch no longer."""
        self._watcher = None

    def _on_file(self, _path: str) -> None:
        self.read()

    def _on_read(self, reading: Reading) -> None:
        """While a change of this window is under way, what was read may be older than it."""
        self._watch()
        if (self._is_awaited or reading != self.reading) and not self._changes:
            self.reading, self._is_awaited = reading, False
            self.changed.emit(reading)

    def _on_failed(self, error: Exception) -> None:
        self.reading = None  # the next one is told, even if it is the same as before
        self.failed.emit(str(error))

    def _watch(self) -> None:
        """The file is replaced at each change, so its folder is watched, too; before the first setting there may be
        none, and the folder that it will be made in is watched."""
        if self._watcher is None:
            return
        file = self._store.file
        wanted = {str(next(folder for folder in file.parents if folder.exists())), *([str(file)] * file.exists())}
        if missing := wanted - {*self._watcher.files(), *self._watcher.directories()}:
            self._watcher.addPaths(sorted(missing))


def read(store: Store) -> Reading:
    """Raises OSError: the settings cannot be read."""
    try:
        kept, machine = store.values(), store.machine()
    except SettingsError as e:
        raise OSError(str(e)) from e
    return Reading({name: _entry(name, kept[name], machine) for name in SETTINGS}, machine)


def _entry(name: str, kept: Any, machine: Machine) -> Entry:
    setting, fault = SETTINGS[name], ""
    if kept is not None:
        try:
            setting.checked(kept)
        except ValueError as e:
            fault = str(e)
    return Entry(name=name, kept=kept, default=setting.default(machine), fault=fault)
