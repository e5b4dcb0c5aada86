"""Where the client's paths and handles lead to on this machine, and what it is told of what is there. Blocking."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
from collections.abc import Callable, Iterator
from typing import TypeAlias

from desktop.folders import hostfiles
from desktop.folders.changes import WATCHED_MS, Changes, Notice
from desktop.folders.handles import Handles
from desktop.folders.shares import VALID_MS, Above, Inside, Sharing, above_attributes
from desktop.folders.wire import Attributes

assert sys.platform != "win32"

Place: TypeAlias = tuple[int, bytes]  # a folder's descriptor, a name in it


class Places:
    """Of one session."""

    def __init__(self, sharing: Sharing, handles: Handles, tell: Callable[[Notice], None]) -> None:
        """`tell` is called, in a thread, with changes that the client did not make."""
        self.shares = sharing.now
        self._handles = handles
        self.changes = Changes(tell, self._look, self._open_folder)

    @contextlib.contextmanager
    def place(self, path: bytes) -> Iterator[Place]:
        """Where `path` is, whose changes are the client's meanwhile. Raises OSError: EACCES also for what lies
        above the shared folders, which nobody changes."""
        found = self.shares().find(path)
        if isinstance(found, Above):
            raise OSError(errno.EACCES, "not in a shared folder")
        with self.changes.about(path), self.inside(found) as place:
            yield place

    @contextlib.contextmanager
    def inside(self, found: Inside) -> Iterator[Place]:
        """Raises OSError."""
        if not found.parts:
            with hostfiles.folder(found.share.path, ()) as fd:
                yield fd, hostfiles.HERE
            return
        with hostfiles.folder(found.share.path, found.parts[:-1]) as fd:
            yield fd, found.parts[-1]

    def attributes(self, path: bytes) -> Attributes:
        """Of `path`, which the client is told. Raises OSError."""
        found = self.shares().find(path)
        if isinstance(found, Above):
            return above_attributes(found.parts)
        with self.changes.about(path), self.inside(found) as (fd, name):
            return self.tell(path, fd, name)

    def tell(self, path: bytes, fd: int, name: bytes) -> Attributes:
        """What the client is told of `path`, with the path held by `about`. Folders are watched from then on."""
        attributes = hostfiles.attributes(fd, name, self.changes.valid_ms(path))
        self.changes.told(path, attributes)
        if stat.S_ISDIR(attributes.mode) and not self.changes.watches(path):
            with contextlib.suppress(OSError):  # it can't be read, so nobody lists it either
                opened = hostfiles.opened_folder(fd, name)
                try:
                    self.changes.watch(path, opened)
                finally:
                    os.close(opened)
        return attributes

    @contextlib.contextmanager
    def open_file(self, handle: int) -> Iterator[int]:
        """The descriptor of an open file, whose changes are the client's meanwhile. Raises OSError: EBADF."""
        with self._handles.use(handle) as fd:
            seen = os.fstat(fd)
            with self.changes.about((seen.st_dev, seen.st_ino, stat.S_IFMT(seen.st_mode))):
                yield fd

    def of_open(self, fd: int) -> bytes:
        """The packed attributes of an open file, which the client is told. Raises OSError."""
        attributes = hostfiles.attributes(fd, None, VALID_MS)
        self.changes.told_open(attributes)
        return attributes.packed()

    def told_of_opened(self, path: bytes, opened: int) -> bytes:
        """The same for a file that was just opened by `path`."""
        attributes = hostfiles.attributes(opened, None, self.changes.valid_ms(path))
        self.changes.told(path, attributes)
        return attributes.packed()

    def _look(self, path: bytes) -> Attributes | None:
        """What is at a path now; None: nothing."""
        try:
            found = self.shares().find(path)
            if isinstance(found, Inside):
                with self.inside(found) as (fd, name):
                    return hostfiles.attributes(fd, name, self.changes.valid_ms(path))
        except (OSError, ValueError):
            return None
        return None

    def _open_folder(self, path: bytes) -> int:
        """A descriptor of a folder, for its caller to close. Raises OSError."""
        found = self.shares().find(path)
        if isinstance(found, Above):
            raise OSError(errno.EACCES, "not in a shared folder")
        with self.inside(found) as (fd, name):
            return hostfiles.opened_folder(fd, name)

    def tells_names_ms(self, path: bytes, *, is_new: bool = False) -> int:
        """For how long the client hears of each new name in the folder `path`; 0: not of each. One that `is_new` may
        have got a name before it was watched: then 0."""
        if not self.changes.watches(path):
            return 0
        try:
            found = self.shares().find(path)
            if not isinstance(found, Inside) or not found.parts:
                return 0
            with self.inside(found) as (fd, name):
                tells = hostfiles.tells_all_names(fd, name) and not (is_new and hostfiles.names(fd, name))
        except OSError:  # another one has its name by now
            return 0
        return WATCHED_MS if tells else 0
