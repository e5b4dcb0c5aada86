"""Requests that are carried out at once, on the agent's loop: those of files that this machine has in memory.

The hand-over to a thread and back takes longer than such a request itself. Linux tells by itself where it would have to
wait for a disk: openat2(2) with RESOLVE_CACHED, preadv2(2) with RWF_NOWAIT. Those requests, all that change anything,
and all that fail go to a thread; so do those of network file systems, where opening waits for the network.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Callable

from desktop.folders import hostfiles
from desktop.folders.changes import Changes
from desktop.folders.handles import Handles
from desktop.folders.shares import Inside, Sharing
from desktop.folders.wire import (
    CONTENT_LIMIT,
    OPEN,
    READ,
    U64,
    Attributes,
    Fields,
    OpenFlag,
    Operation,
    Request,
    WireError,
)

assert sys.platform != "win32"

READ_LIMIT = 1 << 17  # bytes that are copied on the loop; a larger read goes to a thread
_RESOLVE = 0x01 | 0x20  # NO_XDEV, CACHED (linux/openat2.h)
_CHANGING = int(OpenFlag.WRITE | OpenFlag.READ_WRITE | OpenFlag.TRUNCATE)
_NOWAIT = getattr(os, "RWF_NOWAIT", 0)
_READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_ROOT_FLAGS = getattr(os, "O_PATH", 0) | os.O_DIRECTORY | os.O_CLOEXEC
_LOOK_FLAGS = getattr(os, "O_PATH", 0) | os.O_NOFOLLOW | os.O_CLOEXEC


class Quick:
    """Of one session. Used on the loop."""

    def __init__(
        self,
        sharing: Sharing,
        handles: Handles,
        changes: Changes,
        do: Callable[[Callable[[], object]], object],
    ) -> None:
        """`do` has a job carried out in a thread."""
        self._sharing, self._handles, self._changes, self._do = sharing, handles, changes, do
        # By shared folder: the device of its file system, and whether that is a local one.
        self._roots: dict[bytes, tuple[int, bool]] = {}
        self._only_read: set[int] = set()  # open files
        self._verbs: dict[int, Callable[[Fields], bytes | None]] = {}
        if _NOWAIT and sys.platform == "linux":
            self._verbs = {Operation.LOOKUP: self._lookup, Operation.OPEN: self._open, Operation.READ: self._read}

    def carry_out(self, request: Request) -> bytes | None:
        """The body of the reply; None: a thread must do it, which knows the error where there is one."""
        verb = self._verbs.get(request.operation)
        if verb is None or request.is_repeated:
            return None
        try:
            return verb(Fields(request.body))
        except (OSError, WireError, ValueError, OverflowError):
            return None

    def _inside(self, path: bytes) -> Inside | None:
        """Where `path` is, if it is below a shared folder."""
        shares = self._sharing.recent()
        found = None if shares is None else shares.find(path)
        return found if isinstance(found, Inside) and found.parts else None

    def _opened(self, found: Inside, flags: int) -> int:
        """A descriptor of what is there. Raises OSError: EAGAIN where the way there is not in memory, or where the
        shared folder is not known to be on a local file system."""
        path = found.share.path
        root = hostfiles.open_cached(path, _ROOT_FLAGS)
        try:
            device = hostfiles.device(root)
            known, is_local = self._roots.get(path, (None, False))
            if known != device:  # nothing is known yet, or something was mounted over it
                self._roots[path] = device, False  # until it is known
                self._do(lambda: self._examine(path))
            if known != device or not is_local:
                raise OSError(errno.EAGAIN, "not known to be on a local file system")
            return hostfiles.open_beneath(root, found.parts, flags, _RESOLVE)
        finally:
            os.close(root)

    def _examine(self, path: bytes) -> None:
        """In a thread."""
        with contextlib.suppress(OSError), hostfiles.folder(path, ()) as root:
            self._roots[path] = hostfiles.device(root), hostfiles.is_local(root)

    def _lookup(self, fields: Fields) -> bytes | None:
        path = fields.text()
        found = self._inside(path)
        if found is None:
            return None
        with self._changes.at_once() as is_ours:
            if not is_ours:
                return None
            fd = self._opened(found, _LOOK_FLAGS)
            try:
                attributes = hostfiles.attributes(fd, None, self._changes.valid_ms(path))
            finally:
                os.close(fd)
            if attributes.is_folder and not self._changes.watches(path):
                return None
            return self._told(path, attributes)

    def _open(self, fields: Fields) -> bytes | None:
        handle, path = fields.number(U64), fields.text()
        flags, dev, ino = fields.take(OPEN)
        found = None if flags & _CHANGING else self._inside(path)
        if found is None:
            return None
        with self._changes.at_once() as is_ours:
            if not is_ours:
                return None
            fd = self._opened(found, _READ_FLAGS)
            try:
                attributes = hostfiles.attributes(fd, None, self._changes.valid_ms(path))
                content = self._content(fd, attributes) if flags & OpenFlag.CONTENT else b""
                if (attributes.dev, attributes.ino) != (dev, ino) or not attributes.is_regular or content is None:
                    os.close(fd)
                    return None
            except BaseException:
                os.close(fd)
                raise
            reply = self._told(path, attributes) + content
        self._handles.add(handle, fd)
        self._only_read.add(handle)
        return reply

    def close(self, handle: int) -> bool:
        """Close a file, unless that has work for the disk: what was written, or the content of one without a name."""
        if handle not in self._only_read:
            return False
        self._only_read.remove(handle)
        try:
            with self._handles.use(handle) as fd:
                has_name = os.fstat(fd).st_nlink > 0
        except OSError:  # another session's file by now
            return False
        if has_name:
            self._handles.close(handle)
        return has_name

    def _content(self, fd: int, attributes: Attributes) -> bytes | None:
        """Of a small file; None: it would have to be waited for."""
        if attributes.size > CONTENT_LIMIT or not attributes.is_regular:
            return b""
        content = _read_now(fd, CONTENT_LIMIT + 1, 0)
        return content if len(content) == attributes.size else None

    def _told(self, path: bytes, attributes: Attributes) -> bytes:
        self._changes.told(path, attributes)
        return attributes.packed()

    def _read(self, fields: Fields) -> bytes | None:
        handle, offset, size = fields.take(READ)
        if size > READ_LIMIT:
            return None
        with self._handles.use(handle) as fd:
            content = _read_now(fd, size, offset)
            is_whole = len(content) == size or offset + len(content) >= os.fstat(fd).st_size
        return content if is_whole else None


def _read_now(fd: int, size: int, offset: int) -> bytes:
    """What is in memory. Raises OSError: EAGAIN where nothing is, EOPNOTSUPP where the file system can't tell."""
    buffer = bytearray(size)
    return bytes(memoryview(buffer)[: os.preadv(fd, [buffer], offset, _NOWAIT)])
