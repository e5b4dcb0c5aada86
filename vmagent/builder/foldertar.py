"""COPY of a folder straight into a layer's tar: where layers are tars, no file is made on the way to one.

What comes out is what `copying.Copier` would leave in an overlay's upper folder, read by `images.treetar`. What needs
the view through that overlay, a symbolic link on the way to the destination first of all, raises NotPlain: the caller
then takes that way.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Generator
from dataclasses import dataclass

from vmagent.builder.copying import Dressing
from vmagent.builder.trees import FOLDER, Excluded, TreeFault, own_xattrs
from vmagent.images import tarwriter
from vmagent.images.tarstream import CHAR, DIRECTORY, HARD_LINK, REGULAR, SYMLINK
from vmagent.images.treetar import KINDS, READ, content, entry_header
from vmagent.images.unpack import WHITEOUT

_OPEN_FOLDER = FOLDER | os.O_NOFOLLOW
_OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


class NotPlain(Exception):
    """The layer is not only what is copied."""


@dataclass(slots=True)
class _Level:
    """A folder that is being copied. `path`, `source_path`: before the names in it, in the layer and in the source."""

    source: int
    there: int  # the folder below the layer that it is merged with; -1 if there is none
    path: str
    source_path: str
    left: list[str]  # names still to come, the next one last
    names_there: frozenset[str]


class FolderTar:
    """One COPY of a folder's content, as a tar."""

    def __init__(
        self, source_fd: int, target_fd: int, place: str, dressing: Dressing, excluded: Excluded, epoch: int | None
    ) -> None:
        """`source_fd`: the folder. `place`: the destination below the root of `target_fd`, without a leading slash.

        `epoch`: no time is later, in seconds since 1970."""
        self._source_fd, self._target_fd, self._place = source_fd, target_fd, place
        self._dressing, self._excluded = dressing, excluded
        self._latest_ns = None if epoch is None else epoch * 1_000_000_000
        self._links: dict[tuple[int, int], str] = {}

    def blocks(self) -> Generator[bytes, None, None]:
        """The tar, in pieces of about 1 MiB. Raises NotPlain, TreeFault, OSError."""
        held = bytearray()
        levels: list[_Level] = []
        try:
            held += self._parents(levels)
            while levels:
                level = levels[-1]
                if not level.left:
                    _close(levels.pop())
                    continue
                name = level.left.pop()
                if self._excluded(level.source_path + name):
                    continue
                info = os.stat(name, dir_fd=level.source, follow_symlinks=False)
                if stat.S_ISREG(info.st_mode):
                    for piece in self._regular(level, name, info):
                        held += piece
                        if len(held) >= READ:
                            yield bytes(held)
                            held.clear()
                else:
                    held += self._other(level, name, info, levels)
            yield bytes(held) + tarwriter.END
        finally:
            for level in levels:
                _close(level)

    def _parents(self, levels: list[_Level]) -> bytes:
        """The headers of the folders down to the destination, whose level is added to `levels`."""
        made = bytearray()
        there = os.dup(self._target_fd)
        names = self._place.split("/") if self._place else []
        try:
            for number, name in enumerate(names):
                path = "/".join(names[: number + 1])
                inner = -1 if there < 0 else _folder_there(there, name)
                if there >= 0:
                    os.close(there)
                there = inner
                if there < 0:
                    now = self._clamped(time.time_ns())
                    made += entry_header(
                        _plain(path), DIRECTORY, mode=0o755, owner=self._dressing.made_by, mtime_ns=now
                    )
                    continue
                info, xattrs = os.fstat(there), own_xattrs(there)
                is_changed = number == len(names) - 1 or not _exists(there, names[number + 1])
                made += entry_header(
                    _plain(path),
                    DIRECTORY,
                    mode=stat.S_IMODE(info.st_mode),
                    owner=(info.st_uid, info.st_gid),
                    mtime_ns=self._clamped(time.time_ns() if is_changed else info.st_mtime_ns),
                    xattrs={key: os.getxattr(there, key) for key in xattrs},
                )
            source = os.dup(self._source_fd)
        except BaseException:
            if there >= 0:
                os.close(there)
            raise
        levels.append(_level(source, there, f"{self._place}/" if self._place else "", ""))
        return bytes(made)

    def _regular(self, level: _Level, name: str, info: os.stat_result) -> Generator[bytes, None, None]:
        path = self._room(level, name, is_folder=False)
        if info.st_nlink > 1 and (first := self._links.setdefault((info.st_dev, info.st_ino), path)) != path:
            yield self._header(path, HARD_LINK, info, link=first)
            return
        fd = os.open(name, _OPEN_FILE, dir_fd=level.source)
        try:
            yield self._header(path, REGULAR, info, fd, size=info.st_size)
            yield from content(fd, info.st_size, path)
        finally:
            os.close(fd)

    def _other(self, level: _Level, name: str, info: os.stat_result, levels: list[_Level]) -> bytes:
        kind = KINDS.get(stat.S_IFMT(info.st_mode))
        if kind is None:
            return b""  # a socket: neither is it copied
        path = self._room(level, name, is_folder=kind == DIRECTORY)
        if kind == DIRECTORY:
            source = os.open(name, _OPEN_FOLDER, dir_fd=level.source)
            try:
                header = self._header(path, kind, info, source)
                there = _folder_there(level.there, name) if name in level.names_there else -1
            except BaseException:
                os.close(source)
                raise
            levels.append(_level(source, there, f"{path}/", f"{level.source_path}{name}/"))
            return header
        if kind == CHAR and not info.st_rdev:
            raise NotPlain("an overlay's whiteout")
        link = os.readlink(name, dir_fd=level.source) if kind == SYMLINK else ""
        return self._header(path, kind, info, link=link)

    def _room(self, level: _Level, name: str, *, is_folder: bool) -> str:
        """The path of the new entry. Raises TreeFault if what is there cannot be replaced, as Copier does."""
        if name in level.names_there:
            is_folder_there = stat.S_ISDIR(os.stat(name, dir_fd=level.there, follow_symlinks=False).st_mode)
            if is_folder and not is_folder_there:
                raise TreeFault(f"cannot copy to non-directory: {name}")
            if is_folder_there and not is_folder:
                raise TreeFault(f"cannot replace to directory {name} with file")
        if name.startswith(WHITEOUT):
            raise NotPlain(name)
        return level.path + name

    def _header(
        self, path: str, kind: bytes, info: os.stat_result, fd: int = -1, *, size: int = 0, link: str = ""
    ) -> bytes:
        return entry_header(
            path,
            kind,
            size=size,
            mode=0o777 if kind == SYMLINK else self._dressing.mode_of(info),
            owner=self._dressing.owner_of(info),
            mtime_ns=self._clamped(info.st_mtime_ns),
            link=link,
            device=info.st_rdev,
            xattrs=self._dressing.attributes(fd) if fd >= 0 else None,
        )

    def _clamped(self, time_ns: int) -> int:
        return time_ns if self._latest_ns is None else min(time_ns, self._latest_ns)


def _plain(path: str) -> str:
    if os.path.basename(path).startswith(WHITEOUT):
        raise NotPlain(path)
    return path


def _exists(folder: int, name: str) -> bool:
    with contextlib.suppress(FileNotFoundError):
        os.stat(name, dir_fd=folder, follow_symlinks=False)
        return True
    return False


def _folder_there(folder: int, name: str) -> int:
    """A descriptor of the folder; -1 if nothing is there. Raises NotPlain for anything else."""
    try:
        return os.open(name, _OPEN_FOLDER, dir_fd=folder)
    except FileNotFoundError:
        return -1
    except NotADirectoryError as e:  # what open(2) answers for a link, too
        raise NotPlain(name) from e


def _level(source: int, there: int, path: str, source_path: str) -> _Level:
    try:
        left = sorted(os.listdir(source), key=os.fsencode, reverse=True)
        names_there = frozenset(os.listdir(there)) if there >= 0 else frozenset[str]()
    except BaseException:
        for fd in (source, there):
            if fd >= 0:
                os.close(fd)
        raise
    return _Level(source, there, path, source_path, left, names_there)


def _close(level: _Level) -> None:
    os.close(level.source)
    if level.there >= 0:
        os.close(level.there)
