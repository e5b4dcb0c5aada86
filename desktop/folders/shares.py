"""Which paths of this machine are shared. The client sees one tree from the machine's root: above the shared folders it
has folders that hold nothing but the way to them."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from desktop.folders.wire import Attributes

# How long the client may keep attributes and names of which it hears nothing when they change.
VALID_MS = 1000
# How long a change of the setting may remain without effect on what is asked for without a thread: as long as the
# client may keep what it knows.
RECENT_S = VALID_MS / 1000


@dataclass(frozen=True, slots=True)
class Share:
    """A shared folder: its path in the client's tree, split, and where it is."""

    parts: tuple[bytes, ...]
    path: bytes


@dataclass(frozen=True, slots=True)
class Inside:
    """A place in a shared folder: `parts` lead to it from there, without links; () is the folder itself."""

    share: Share
    parts: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Above:
    """A folder above shared ones, with the names that lead on."""

    parts: tuple[bytes, ...]
    names: tuple[bytes, ...]


class Shares:
    """The shared folders at one time."""

    def __init__(self, folders: Sequence[str]) -> None:
        """`folders`: absolute paths. Each is shared also by the path that it has without links, which is what a shell's
        $PWD may say."""
        self.folders = tuple(folders)
        paths = {spelled for folder in folders for spelled in (os.path.normpath(folder), os.path.realpath(folder))}
        self._shares = [Share(_split(os.fsencode(path)), os.fsencode(path)) for path in sorted(paths)]

    def find(self, path: bytes) -> Inside | Above:
        """What the client's `path` is. Raises OSError: EINVAL for what is no path, EACCES for what is not shared."""
        parts = tuple(path.split(b"/")) if path else ()
        if any(part in (b"", b".", b"..") or b"\0" in part for part in parts):
            raise OSError(errno.EINVAL, "not a path of a client")
        for share in self._shares:
            if parts[: len(share.parts)] == share.parts:
                return Inside(share, parts[len(share.parts) :])
        names = {share.parts[len(parts)] for share in self._shares if share.parts[: len(parts)] == parts}
        if parts and not names:
            raise OSError(errno.EACCES, "not shared")
        return Above(parts, tuple(sorted(names)))

    def any(self) -> bytes:
        """The path of a shared folder. Raises OSError where there is none."""
        for share in self._shares:
            return share.path
        raise OSError(errno.ENOENT, "no folder is shared")


class Sharing:
    """The shared folders by a setting, which may change at any time. Used in several threads."""

    def __init__(self, folders: Callable[[], Sequence[str]]) -> None:
        """`folders` returns the absolute paths of what is shared now. Where it raises ValueError (the setting is
        invalid), so does `now`."""
        self._folders = folders
        self._shares = Shares(())
        self._until = 0.0  # monotonic

    def now(self) -> Shares:
        """Blocking. Raises ValueError."""
        folders = tuple(self._folders())
        if folders != self._shares.folders:
            self._shares = Shares(folders)
        self._until = time.monotonic() + RECENT_S
        return self._shares

    def recent(self) -> Shares | None:
        """What `now` has returned at most RECENT_S ago."""
        return self._shares if self._until > time.monotonic() else None


def _split(path: bytes) -> tuple[bytes, ...]:
    return tuple(part for part in path.split(b"/") if part)


def above_attributes(parts: tuple[bytes, ...]) -> Attributes:
    """Of a folder above shared ones. Its inode number is its path's, so that it stays the same; the root's is 1."""
    digest = hashlib.blake2b(b"/".join(parts), digest_size=7).digest()
    ino = int.from_bytes(digest, "little") + 2 if parts else 1
    return Attributes(ino, 0, 0, 0, 0, 0, 0, 0, stat.S_IFDIR | 0o555, 2, 0, 0, 0, VALID_MS)
