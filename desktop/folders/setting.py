"""What a SETATTR of shared folders sets: size, owner, mode, times. Blocking."""

from __future__ import annotations

import os
import stat
import struct
import sys
import time

from desktop.folders import hostfiles
from desktop.folders.wire import Fields, Which

assert sys.platform != "win32"

# The host's programs must not run with a user's rights only because a container has said so.
FILE_MODE, FOLDER_MODE = 0o1777, 0o3777
_SET = struct.Struct("<4IQqq")


class Setting:
    """What a SETATTR asks for."""

    def __init__(self, which: Which, mode: int, uid: int, gid: int, size: int, atime: int, mtime: int) -> None:
        self._which, self._mode, self._size = which, mode, size
        self._uid = uid if which & Which.UID else None
        self._gid = gid if which & Which.GID else None
        self._atime, self._mtime = atime, mtime

    @classmethod
    def of(cls, fields: Fields) -> Setting:
        """Read off a request. Raises WireError."""
        which, *values = fields.take(_SET)
        return cls(Which(which), *values)

    def apply(self, fd: int, name: bytes) -> None:
        """To `name` in the folder `fd`. Raises OSError."""
        if self._which & Which.SIZE:
            opened = hostfiles.open_file(fd, name, os.O_WRONLY)
            try:
                os.ftruncate(opened, self._size)
            finally:
                os.close(opened)
        seen = os.stat(name, dir_fd=fd, follow_symlinks=False)
        if self._uid is not None or self._gid is not None:
            hostfiles.set_owner(fd, name, self._uid, self._gid)
        if self._which & Which.MODE:
            hostfiles.set_mode(fd, name, self._bits(seen))
        if (times := self._times(seen)) is not None:
            os.utime(name, ns=times, dir_fd=fd, follow_symlinks=False)

    def apply_to_open(self, fd: int) -> None:
        """To the open file `fd`. Raises OSError."""
        if self._which & Which.SIZE:
            os.ftruncate(fd, self._size)
        if self._uid is not None or self._gid is not None:
            hostfiles.set_owner(fd, None, self._uid, self._gid)
        seen = os.fstat(fd)
        if self._which & Which.MODE:
            os.fchmod(fd, self._bits(seen))
        if (times := self._times(seen)) is not None:
            os.utime(fd, ns=times)

    def _bits(self, seen: os.stat_result) -> int:
        return self._mode & (FOLDER_MODE if stat.S_ISDIR(seen.st_mode) else FILE_MODE)

    def _times(self, seen: os.stat_result) -> tuple[int, int] | None:
        if not self._which & (Which.ATIME | Which.MTIME):
            return None
        now = time.time_ns()
        atime = now if self._which & Which.ATIME_NOW else self._atime
        mtime = now if self._which & Which.MTIME_NOW else self._mtime
        return (
            atime if self._which & Which.ATIME else seen.st_atime_ns,
            mtime if self._which & Which.MTIME else seen.st_mtime_ns,
        )
