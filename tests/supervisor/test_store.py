"""The keeper's store: entries are returned unchanged, and a descriptor is closed exactly when it is removed."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from vmagent.keeper.store import Store


def is_open(fd: int) -> bool:
    with suppress(OSError):
        os.fstat(fd)
        return True
    return False


def test_entries_come_back_as_they_were_put_and_close_what_they_lose(tmp_path: Path) -> None:
    first, second, third, late = fds = [os.open(tmp_path, os.O_RDONLY) for _ in range(4)]
    store = Store()
    store.put("run a", {"kind": "run", "id": "a" * 64, "tty": False}, ["pid", "log1"], [first, second])
    store.put("run a", {"pid": 70_000, "tty": True}, ["log1"], [third])
    store.put("words", {"path": "/x"}, [], [])
    assert not is_open(second)
    assert len(store) == 1
    [(key, entry), (_, words)] = store.entries()
    assert (key, words.data, words.fds) == ("run a", {"path": "/x"}, {})
    assert list(entry.data.items()) == [("kind", "run"), ("id", "a" * 64), ("tty", True), ("pid", 70_000)]
    assert entry.fds == {"pid": first, "log1": third}
    assert store.pidfds() == [first]

    assert not store.note_status(1, 0)
    assert store.note_status(70_000, 137)
    assert not store.note_status(70_000, 0), "a status is told once"
    assert entry.data["status"] == 137

    store.take("run a", ["log1", "unknown"])
    assert [is_open(fd) for fd in fds] == [True, False, False, True]
    store.put("run a", {}, ["late"], [late])
    store.forget("run a")
    store.forget("run a")
    assert not any(is_open(fd) for fd in fds)
    assert [key for key, _ in store.entries()] == ["words"]
