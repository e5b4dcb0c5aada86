"""What the keeper holds for the supervisor (`vmagent.supervisor.keeping`): entries of data and named descriptors."""

from __future__ import annotations

import os
from sys import intern

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any


_rows: dict[tuple[str, ...], tuple[str, ...]] = {}  # each distinct tuple of names, stored once and shared by entries
_SHORT = 16  # characters: only strings up to this length are interned, since longer ones are rarely equal


class Entry:
    """Data and descriptors by name, in a quarter of the memory of two dicts: there may be thousands of entries."""

    __slots__ = ("_fd_names", "_fds", "_values", "_words")

    def __init__(self) -> None:
        self._words = self._fd_names = _row(())
        self._values: tuple[Any, ...] = ()
        self._fds = b""  # 4 bytes each

    @property
    def data(self) -> dict[str, Any]:
        """A copy."""
        return dict(zip(self._words, self._values, strict=True))

    def add(self, data: dict[str, Any]) -> None:
        """Add the items of `data`; a key that exists gets the new value."""
        if data:
            whole = {**self.data, **data}
            self._words = _row(whole)
            self._values = tuple(_shared(value) for value in whole.values())

    @property
    def fds(self) -> dict[str, int]:
        """A copy."""
        numbers = (int.from_bytes(self._fds[at : at + 4], "little") for at in range(0, len(self._fds), 4))
        return dict(zip(self._fd_names, numbers, strict=True))

    @fds.setter
    def fds(self, fds: dict[str, int]) -> None:
        self._fd_names = _row(fds)
        self._fds = b"".join(fd.to_bytes(4, "little") for fd in fds.values())

    @property
    def has_fds(self) -> bool:
        return bool(self._fds)


def _row(names: Iterable[str]) -> tuple[str, ...]:
    row = tuple(names)
    return _rows.setdefault(row, row)


def _shared(value: Any) -> Any:
    return intern(value) if type(value) is str and len(value) <= _SHORT else value


class Store:
    """All entries by key. The store owns their descriptors."""

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}

    def __len__(self) -> int:
        """How many entries hold descriptors: those of processes, not those that only have data."""
        return sum(entry.has_fds for entry in self._entries.values())

    def put(self, key: str, data: dict[str, Any], names: Sequence[str], fds: Sequence[int]) -> None:
        """Make or extend an entry and take ownership of `fds`. A descriptor of the same name is closed and replaced."""
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = Entry()
        entry.add(data)
        if names:
            held = entry.fds
            for name, fd in zip(names, fds, strict=True):
                _close(held, name)
                held[name] = fd
            entry.fds = held

    def take(self, key: str, names: Sequence[str]) -> None:
        """Close the named descriptors of an entry; unknown keys and names are ignored."""
        entry = self._entries.get(key)
        if entry is not None:
            held = entry.fds
            for name in names:
                _close(held, name)
            entry.fds = held

    def forget(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            for fd in entry.fds.values():
                os.close(fd)

    def note_status(self, pid: int, status: int) -> bool:
        """Store the exit status of the process `pid`; False if no entry is of that process."""
        for entry in self._entries.values():
            data = entry.data
            if data.get("pid") == pid and "pid" in entry.fds and "status" not in data:
                entry.add({"status": status})
                return True
        return False

    def entries(self) -> Iterator[tuple[str, Entry]]:
        """All entries; those that are forgotten during the iteration are left out."""
        for key in [*self._entries]:
            entry = self._entries.get(key)
            if entry is not None:
                yield key, entry

    def pidfds(self) -> list[int]:
        return [fds["pid"] for entry in self._entries.values() if "pid" in (fds := entry.fds)]


def _close(fds: dict[str, int], name: str) -> None:
    fd = fds.pop(name, -1)
    if fd >= 0:
        os.close(fd)
