"""inotify(7): events of folders, in folds of one mask a name."""

from __future__ import annotations

import ctypes
import errno
import os
import selectors
import struct
import sys
from dataclasses import dataclass, field
from enum import IntFlag

_EVENT = struct.Struct("iIII")
_READ_SIZE = 256 * 1024


class Mask(IntFlag):
    """sys/inotify.h"""

    MODIFY = 0x2
    ATTRIB = 0x4
    CLOSE_WRITE = 0x8
    MOVED_FROM = 0x40
    MOVED_TO = 0x80
    CREATE = 0x100
    DELETE = 0x200
    OVERFLOW = 0x4000
    IGNORED = 0x8000
    ONLYDIR = 0x1000000
    EXCL_UNLINK = 0x4000000
    ISDIR = 0x40000000


WATCHED = (
    Mask.MODIFY
    | Mask.ATTRIB
    | Mask.CLOSE_WRITE
    | Mask.MOVED_FROM
    | Mask.MOVED_TO
    | Mask.CREATE
    | Mask.DELETE
    | Mask.ONLYDIR
    | Mask.EXCL_UNLINK
)


@dataclass(slots=True)
class Events:
    """What has happened: by watch and name, all masks in one. `names` keep their order."""

    names: dict[tuple[int, bytes], int] = field(default_factory=dict)
    ended: list[int] = field(default_factory=list)  # watches that the kernel has removed
    is_overflown: bool = False  # events were lost


class Inotify:
    """One instance, and a way to wake who waits for it."""

    _libc: ctypes.CDLL
    _fd: int
    _waker: int
    _wake: int
    _ready: selectors.BaseSelector

    def __init__(self) -> None:
        """Raises OSError where this system has none, or no more."""
        if sys.platform != "linux":
            raise OSError(errno.ENOSYS, "no inotify here")
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = self._libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self._fd < 0:
            raise self._error()
        self._waker, self._wake = os.pipe()
        os.set_blocking(self._waker, False)
        os.set_blocking(self._wake, False)
        self._ready = selectors.DefaultSelector()
        self._ready.register(self._fd, selectors.EVENT_READ)
        self._ready.register(self._waker, selectors.EVENT_READ)

    def add(self, folder: int) -> int:
        """Watch the folder that is open as `folder`; returns the watch's number. Raises OSError."""
        number: int = self._libc.inotify_add_watch(self._fd, f"/proc/self/fd/{folder}".encode(), int(WATCHED))
        if number < 0:
            raise self._error()
        return number

    def remove(self, number: int) -> None:
        """End a watch; one that has ended already is no error."""
        self._libc.inotify_rm_watch(self._fd, number)

    def wake(self) -> None:
        """`wait` returns."""
        try:
            os.write(self._wake, b".")
        except BlockingIOError:
            return  # it is awake already

    def wait(self) -> Events:
        """Wait for events, or for `wake`; all that have come."""
        self.wait_for_any()
        return self.take()

    def wait_for_any(self) -> None:
        """Wait until there are events, or `wake` was called."""
        self._ready.select()

    def take(self) -> Events:
        """All events that have come."""
        events = Events()
        try:
            while os.read(self._waker, 4096):
                continue
        except BlockingIOError:
            pass
        try:
            while data := os.read(self._fd, _READ_SIZE):
                _take(data, events)
        except BlockingIOError:
            pass
        return events

    def close(self) -> None:
        """Nobody waits any more."""
        self._ready.close()
        for fd in (self._fd, self._waker, self._wake):
            os.close(fd)

    def _error(self) -> OSError:
        number = ctypes.get_errno()
        return OSError(number, os.strerror(number))


def _take(data: bytes, events: Events) -> None:
    at = 0
    while at < len(data):
        watch, mask, _, length = _EVENT.unpack_from(data, at)
        at += _EVENT.size
        name = data[at : at + length].rstrip(b"\0")
        at += length
        if mask & Mask.OVERFLOW:
            events.is_overflown = True
        elif mask & Mask.IGNORED:
            events.ended.append(watch)
        elif name:
            events.names[watch, name] = events.names.get((watch, name), 0) | mask
