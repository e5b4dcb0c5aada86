"""Changes that this machine makes to files that the client knows: noticed, and told to it.

The kernel's events are only a hint to look. What is told depends on a comparison with what the client was told last, so
the client's own changes are no news to it, many events in a row are one, and lost ones are made up for. A folder is
watched before anything of it is told to the client, so no change falls between.
"""

from __future__ import annotations

import os
import stat
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import IntFlag
from pathlib import Path
from typing import NamedTuple

from desktop.folders.inotify import Events, Inotify, Mask
from desktop.folders.shares import VALID_MS
from desktop.folders.wire import Attributes

# How long the client may keep what it would hear of. Not for ever: a file that is mapped changes without an event.
WATCHED_MS = 10_000
WATCHES_LIMIT = 8192
_SHARE = 4  # of what Linux lets this user watch, at most one in so many is ours: editors watch too
_USERS_LIMIT = Path("/proc/sys/fs/inotify/max_user_watches")
# The least time from one look at events to the next: many events of one name are then one, and the thread, which must
# share the interpreter with requests, leaves it to them while the client itself is at work.
_PAUSE_S = 0.02
# After lost events, what has changed since this long before the last known one is told.
_OVERLAP_S = 2.0


class Kind(IntFlag):
    """What has happened to a name."""

    CREATED = 1
    DELETED = 2
    MODIFIED = 4
    ATTRIB = 8
    CLOSED = 16  # by a writer


class Notice(NamedTuple):
    folder: bytes
    name: bytes
    kinds: Kind
    is_folder: bool
    attributes: Attributes | None  # None: it is not there any more


class _File(NamedTuple):
    """One file as the client knows it."""

    identity: tuple[int, int, int]  # device, inode, kind
    content: tuple[int, int]  # size, mtime; (0, 0) of a folder, whose own events tell of its content
    change: int  # ctime, the mode of a folder


def _file(attributes: Attributes) -> _File:
    identity = (attributes.dev, attributes.ino, stat.S_IFMT(attributes.mode))
    if stat.S_ISDIR(attributes.mode):
        return _File(identity, (0, 0), attributes.mode)
    return _File(identity, (attributes.size, attributes.mtime), attributes.ctime)


class _Folder:
    """A watched folder, and the names in it that the client was told about: None where there is nothing."""

    def __init__(self, path: bytes, watch: int) -> None:
        self.path, self.watch = path, watch
        self.names: dict[bytes, tuple[int, int, int] | None] = {}


class Changes:
    """Of one session. Requests call it in threads; a thread of its own waits for events."""

    def __init__(
        self,
        tell: Callable[[Notice], None],
        look: Callable[[bytes], Attributes | None],
        open_folder: Callable[[bytes], int],
    ) -> None:
        """`tell` is called in the thread; `look` returns what is at a path of the client now; `open_folder` a
        descriptor of a folder, or raises OSError."""
        self._tell, self._look, self._open_folder = tell, look, open_folder
        self._lock = threading.RLock()
        self._inotify: Inotify | None = None
        self._thread: threading.Thread | None = None
        self._is_closed = False
        self._limit = WATCHES_LIMIT
        self._folders: dict[bytes, _Folder] = {}
        self._watches: dict[int, _Folder] = {}
        self._files: dict[tuple[int, int, int], _File] = {}
        # What requests are busy with: paths, and identities of open files. Events on them wait until it is known what
        # the client has done itself.
        self._busy: Counter[object] = Counter()
        self._waiting: dict[tuple[bytes, bytes], int] = {}
        self._unclosed: set[tuple[bytes, bytes]] = set()
        self._seen_until = time.time()
        self._looked_at = 0.0  # monotonic

    # For requests ------------------------------------------------------------------------------------------------

    @contextmanager
    def about(self, key: object) -> Iterator[None]:
        """A request looks at or changes `key`, a path or an open file's identity."""
        with self._lock:
            self._busy[key] += 1
        try:
            yield
        finally:
            with self._lock:
                self._busy[key] -= 1
                if not self._busy[key]:
                    del self._busy[key]
                if self._waiting and self._inotify is not None:
                    self._inotify.wake()

    @contextmanager
    def at_once(self) -> Iterator[bool]:
        """Whether this was free at once: then events wait until the end of the block."""
        is_ours = self._lock.acquire(blocking=False)
        try:
            yield is_ours
        finally:
            if is_ours:
                self._lock.release()

    def watch(self, path: bytes, folder: int) -> None:
        """The client gets to know the folder `path`, open as `folder`. Where it can't be watched, nothing happens."""
        with self._lock:
            if path in self._folders or self._is_closed or len(self._folders) >= self._limit:
                return
            try:
                if self._inotify is None:
                    self._start()
                assert self._inotify is not None
                number = self._inotify.add(folder)
            except OSError:
                return  # none here, or no more: the client asks again after VALID_MS
            if (old := self._watches.get(number)) is not None:
                self._drop(old)  # the same folder by another path
            self._watches[number] = self._folders[path] = _Folder(path, number)

    def watches(self, path: bytes) -> bool:
        return path in self._folders

    def valid_ms(self, path: bytes) -> int:
        """How long the client may keep what it is told of `path`."""
        return WATCHED_MS if _split(path)[0] in self._folders else VALID_MS

    def told(self, path: bytes, attributes: Attributes) -> None:
        """The client is told what is at `path`."""
        file = _file(attributes)
        folder, name = _split(path)
        with self._lock:
            if (known := self._folders.get(folder)) is not None:
                known.names[name] = file.identity
                self._files[file.identity] = file

    def told_open(self, attributes: Attributes) -> None:
        """The client is told of an open file, by whatever name."""
        file = _file(attributes)
        with self._lock:
            if file.identity in self._files:
                self._files[file.identity] = file

    def told_absent(self, path: bytes) -> None:
        """The client knows that nothing is at `path`."""
        folder, name = _split(path)
        with self._lock:
            if (known := self._folders.get(folder)) is not None:
                known.names[name] = None
            self._forget_below(path)

    def moved(self, old: bytes, new: bytes, *, is_exchange: bool) -> None:
        """The client has renamed something, which may be a folder."""
        with self._lock:
            there = self._below(new)
            here = self._below(old)
            for folder in (*there, *here):
                del self._folders[folder.path]
            for folder in here:
                folder.path = new + folder.path[len(old) :]
                self._folders[folder.path] = folder
            for folder in there:
                if is_exchange:
                    folder.path = old + folder.path[len(new) :]
                    self._folders[folder.path] = folder
                else:
                    self._end(folder)
            if not is_exchange:
                self.told_absent(old)

    def _below(self, path: bytes) -> list[_Folder]:
        if path not in self._folders:
            return []
        return [each for key, each in self._folders.items() if key == path or key.startswith(path + b"/")]

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            if self._inotify is None:
                return
            self._inotify.wake()
        if self._thread is not None:
            self._thread.join()
        self._inotify.close()

    # The thread --------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        self._limit = min(WATCHES_LIMIT, int(_USERS_LIMIT.read_text()) // _SHARE)
        self._inotify = Inotify()
        self._thread = threading.Thread(target=self._run, name="changes of shared folders", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        assert self._inotify is not None
        while True:
            self._inotify.wait_for_any()
            pause_s = self._looked_at + _PAUSE_S - time.monotonic()
            if pause_s > 0:
                time.sleep(pause_s)
            events = self._inotify.take()
            self._looked_at = time.monotonic()
            began = time.time()
            with self._lock:
                if self._is_closed:
                    return
                waiting, self._waiting = self._waiting, {}
            for (path, name), mask in waiting.items():
                self._handle(path, name, mask)
            self._take(events)
            self._seen_until = began

    def _take(self, events: Events) -> None:
        for (watch, name), mask in events.names.items():
            if (folder := self._watches.get(watch)) is not None:
                self._handle(folder.path, name, mask)
        for watch in events.ended:
            with self._lock:
                if (folder := self._watches.get(watch)) is not None:
                    self._drop(folder)
        if events.is_overflown:
            self._look_again()

    def _handle(self, path: bytes, name: bytes, mask: int) -> None:
        """Something has happened to a name: look, and tell what the client does not know."""
        with self._lock:
            folder = self._folders.get(path)
            if folder is None:
                return
            full = path + b"/" + name
            known = folder.names.get(name)
            if full in self._busy or path in self._busy or (known is not None and known in self._busy):
                self._waiting[path, name] = self._waiting.get((path, name), 0) | mask
                return
            found = self._look(full)
            identity = None if found is None else _file(found).identity
            if identity is not None and identity in self._busy:
                self._waiting[path, name] = self._waiting.get((path, name), 0) | mask
                return
            kinds = self._news(folder, name, found, mask)
            if not kinds:
                return
            is_folder = bool(mask & Mask.ISDIR) if found is None else stat.S_ISDIR(found.mode)
            if kinds & Kind.DELETED:
                self._forget_below(full)
            folder.names[name] = identity
            if found is not None:
                file = _file(found)
                self._files[file.identity] = file
                if is_folder and kinds & Kind.CREATED:
                    self._watch_new(full)
            # With the lock: what a later request tells must come later.
            self._tell(Notice(path, name, kinds, is_folder, found))

    def _watch_new(self, path: bytes) -> None:
        """The client gets to know a folder that it has not looked up."""
        with suppress(OSError):  # it has gone again, or can't be read
            fd = self._open_folder(path)
            try:
                self.watch(path, fd)
            finally:
                os.close(fd)

    def _news(self, folder: _Folder, name: bytes, found: Attributes | None, mask: int) -> Kind:
        is_known = name in folder.names
        known = folder.names.get(name)
        place = (folder.path, name)
        if found is None:
            self._unclosed.discard(place)
            if mask & (Mask.DELETE | Mask.MOVED_FROM):
                folder.names.pop(name, None)
            if known is not None or (not is_known and mask & (Mask.DELETE | Mask.MOVED_FROM)):
                return Kind.DELETED
            return Kind(0)
        file = _file(found)
        closed = Kind.CLOSED if stat.S_ISREG(found.mode) else Kind(0)
        if is_known and known is None:
            return Kind.CREATED | closed
        if known is not None and known != file.identity:
            return Kind.DELETED | Kind.CREATED | closed
        if known is None:
            return self._news_of_unknown(place, mask, closed)
        before = self._files.get(file.identity)
        if before is None or before.content != file.content:
            self._unclosed.add(place)
            kinds = Kind.MODIFIED
        else:
            kinds = Kind.ATTRIB if before.change != file.change else Kind(0)
        if mask & Mask.CLOSE_WRITE and place in self._unclosed:
            self._unclosed.discard(place)
            kinds |= closed
        return kinds

    def _news_of_unknown(self, place: tuple[bytes, bytes], mask: int, closed: Kind) -> Kind:
        if mask & (Mask.CREATE | Mask.MOVED_TO):
            return Kind.CREATED | closed
        kinds = Kind.MODIFIED if mask & Mask.MODIFY else Kind(0)
        if mask & Mask.CLOSE_WRITE:
            kinds |= closed
        if mask & Mask.ATTRIB and not kinds:
            kinds = Kind.ATTRIB
        return kinds

    def _look_again(self) -> None:
        """Events were lost: look at all that the client knows, and at what has changed lately."""
        since = int((self._seen_until - _OVERLAP_S) * 10**9)
        with self._lock:
            every = [(folder.path, set(folder.names)) for folder in self._folders.values()]
        for path, names in every:
            for name in names | self._changed_since(path, since):
                self._handle(path, name, Mask.CREATE if name not in names else Mask.CLOSE_WRITE)

    def _changed_since(self, path: bytes, since_ns: int) -> set[bytes]:
        # By the client's path, which is also this machine's: only names that are looked at again come of it.
        try:
            with os.scandir(b"/" + path) as entries:
                return {entry.name for entry in entries if entry.stat(follow_symlinks=False).st_ctime_ns >= since_ns}
        except OSError:
            return set()

    # Parts -------------------------------------------------------------------------------------------------------

    def _forget_below(self, path: bytes) -> None:
        """`path` is not the folder any more that it was."""
        for folder in self._below(path):
            self._end(folder)

    def _end(self, folder: _Folder) -> None:
        assert self._inotify is not None
        self._inotify.remove(folder.watch)
        self._drop(folder)

    def _drop(self, folder: _Folder) -> None:
        self._watches.pop(folder.watch, None)
        if self._folders.get(folder.path) is folder:
            del self._folders[folder.path]
        for identity in folder.names.values():
            if identity is not None:
                self._files.pop(identity, None)


def _split(path: bytes) -> tuple[bytes, bytes]:
    """The folder's path and the name."""
    folder, _, name = path.rpartition(b"/")
    return folder, name
