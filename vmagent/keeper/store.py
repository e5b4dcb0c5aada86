"""What the keeper holds for the supervisor (`vmagent.supervisor.keeping`): entries of words and named descriptors."""

from __future__ import annotations

import os
from sys import intern

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any


class Entry:
    __slots__ = ("data", "fds")

    def __init__(self) -> None:
        self.data: dict[str, Any] = {}
        self.fds: dict[str, int] = {}


class Store:
    """Owns the descriptors in it."""

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}

    def __len__(self) -> int:
        """How many entries hold descriptors: those of processes, and not those of words alone."""
        return sum(bool(entry.fds) for entry in self._entries.values())

    def put(self, key: str, data: dict[str, Any], names: Sequence[str], fds: Sequence[int]) -> None:
        """Make or extend an entry; takes `fds` over. One that has the name already is replaced."""
        entry = self._entries.setdefault(key, Entry())
        for word, value in data.items():
            entry.data[intern(word)] = value  # the same few words in each entry
        for name, fd in zip(names, fds, strict=True):
            self._close(entry, name)
            entry.fds[intern(name)] = fd

    def take(self, key: str, names: Sequence[str]) -> None:
        """Close those descriptors."""
        entry = self._entries.get(key)
        if entry is not None:
            for name in names:
                self._close(entry, name)

    def forget(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            for name in [*entry.fds]:
                self._close(entry, name)

    def note_status(self, pid: int, status: int) -> bool:
        """The process `pid` was reaped here; False if no entry knows it."""
        for entry in self._entries.values():
            if entry.data.get("pid") == pid and "pid" in entry.fds and "status" not in entry.data:
                entry.data["status"] = status
                return True
        return False

    def entries(self) -> Iterator[tuple[str, Entry]]:
        """As they are now; those that vanish while the caller goes through them are left out."""
        for key in [*self._entries]:
            entry = self._entries.get(key)
            if entry is not None:
                yield key, entry

    def pidfds(self) -> list[int]:
        return [entry.fds["pid"] for entry in self._entries.values() if "pid" in entry.fds]

    @staticmethod
    def _close(entry: Entry, name: str) -> None:
        fd = entry.fds.pop(name, -1)
        if fd >= 0:
            os.close(fd)
