"""The receiving half of fsutil's DiffCopy, without its connection: packets in, a folder on disk out.

The sender lists its files in order (path by path, folders before what they hold) and then sends the contents that the
receiver asks for by their number in that list (fsutil's send.go). A file that the folder already has with the same
mode, size and time is not asked for; what the folder has and the list lacks is removed.

Everything here blocks: it runs in a disk thread. Paths come from a client and are checked: relative, without `..`, and
in a folder of the same list, so that no link can lead out. Extended attributes are left out: no builder of docker's
keeps those of a context, and this kernel refuses some of other systems (com.apple.*).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vmagent.buildkit.gomode import file_type, permissions
from vmagent.buildkit.messages import PACKET_DATA, PACKET_ERR, PACKET_STAT, Packet, Stat
from vmagent.errors import BadRequest, EngineError
from vmagent.linux.trees import remove_whole_tree

_OPEN = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
_KEPT_TYPES = (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK)
_NO_NAMES = ("", ".", "..")


@dataclass(slots=True)
class _Arriving:
    """A file whose contents are on their way."""

    path: str
    stat: Stat
    fd: int = -1


class Receiver:
    """One transfer into `folder`, which is made if missing."""

    def __init__(self, folder: Path) -> None:
        self._root = os.fspath(folder)
        self._folders: list[tuple[str, Stat]] = []  # as listed; their times are set at the end
        self._links: list[tuple[str, str]] = []  # names and what they are further names of; made at the end
        self._names: dict[str, set[str]] = {"": set()}  # listed names by listed folder
        self._arriving: dict[int, _Arriving] = {}
        self._count = 0
        self._last = ""  # the path that was listed last, with NULs for its slashes
        self.is_listed = False
        self.is_changed = not os.path.isdir(self._root)  # the folder, in more than times
        self.size = 0  # bytes of the files that are listed
        os.makedirs(self._root, mode=0o700, exist_ok=True)

    @property
    def is_complete(self) -> bool:
        """All files are listed, and all contents that were asked for have come."""
        return self.is_listed and not self._arriving

    def apply(self, packets: Iterable[Packet]) -> list[int]:
        """The numbers of files whose contents are to be asked for.

        Raises BadRequest for a packet that no sender makes, EngineError with the sender's error, OSError."""
        wanted: list[int] = []
        for packet in packets:
            if packet.type == PACKET_STAT:
                if packet.HasField("stat"):
                    if self._list(packet.stat):
                        wanted.append(self._count)
                    self._count += 1
                else:
                    self.is_listed = True
            elif packet.type == PACKET_DATA:
                self._write(packet)
            elif packet.type == PACKET_ERR:
                raise EngineError(packet.data.decode(errors="replace"))
        return wanted

    def finish(self) -> None:
        """Remove what was not listed, make hard links, and give folders their modes and times."""
        for path, names in self._names.items():
            folder = os.path.join(self._root, path)
            with os.scandir(folder) as entries:
                surplus = [entry.path for entry in entries if entry.name not in names]
            for one in surplus:
                self._remove(one)
        for path, target in self._links:
            where, linked = os.path.join(self._root, path), os.path.join(self._root, target)
            there = _lstat(where)
            if there is None or not os.path.samestat(there, os.lstat(linked)):
                self._remove(where)
                os.link(linked, where, follow_symlinks=False)
        for path, about in reversed(self._folders):
            where = os.path.join(self._root, path)
            self.is_changed |= stat.S_IMODE(os.lstat(where).st_mode) != permissions(about.mode)
            os.chmod(where, permissions(about.mode))
            os.utime(where, ns=(about.modTime, about.modTime))

    def close(self) -> None:
        """Close what a broken transfer has left open."""
        for file in self._arriving.values():
            if file.fd >= 0:
                os.close(file.fd)
        self._arriving.clear()

    def _list(self, about: Stat) -> bool:
        """Make the entry, or take what is there. True if its contents are needed."""
        path, parent, name = self._checked(about.path)
        mode = about.mode
        kind = file_type(mode)
        if kind not in _KEPT_TYPES:
            return False  # devices, pipes and sockets of a context are left out
        self._names[parent].add(name)
        where = f"{self._root}/{path}"
        there = _lstat(where)
        if kind == stat.S_IFREG:
            self.size += about.size
            if about.linkname:
                self._links.append((path, self._listed_file(about.linkname)))
                return False
            if there is not None and _is_same(there, about, mode):
                return False
            self._remove(where)  # a new file: another name of the old one keeps its contents
            self._arriving[self._count] = _Arriving(path, about)
            return True
        if kind == stat.S_IFDIR:
            self._names[path] = set()
            self._folders.append((path, about))
            if there is None or not stat.S_ISDIR(there.st_mode):
                self._remove(where)
                os.mkdir(where, 0o700)
        elif there is None or not stat.S_ISLNK(there.st_mode) or os.readlink(where) != about.linkname:
            self._remove(where)
            os.symlink(about.linkname, where)
        return False

    def _remove(self, path: str) -> None:
        """Make room at `path` for another entry, or for none."""
        self.is_changed = True
        _remove(path)

    def _checked(self, path: str) -> tuple[str, str, str]:
        """The path, that of its folder, and its name."""
        parent, _, name = path.rpartition("/")
        if name in _NO_NAMES or "\0" in path or path.startswith("/"):
            raise BadRequest(f"invalid path in the build context: {path!r}")
        if parent not in self._names:  # so the names in it have been checked
            if any(part in _NO_NAMES for part in path.split("/")):
                raise BadRequest(f"invalid path in the build context: {path!r}")
            raise BadRequest(f"the build context has {path!r} without its folder")
        order = path.replace("/", "\0")  # what is in a folder comes before its next neighbour, whatever that is called
        if order <= self._last:
            raise BadRequest(f"the build context lists {path!r} out of order")
        self._last = order
        return path, parent, name

    def _listed_file(self, path: str) -> str:
        path = path.lstrip("/")
        parent, _, name = path.rpartition("/")
        if name not in self._names.get(parent, ()) or any(part in (".", "..") for part in path.split("/")):
            raise BadRequest(f"the build context links to {path!r}, which it does not have")
        return path

    def _write(self, packet: Packet) -> None:
        file = self._arriving.get(packet.ID)
        if file is None:
            raise BadRequest(f"the build context sends contents that nobody asked for: {packet.ID}")
        where = os.path.join(self._root, file.path)
        if file.fd < 0:
            file.fd = os.open(where, _OPEN, 0o600)
        if packet.data:
            _write_all(file.fd, packet.data)
            return
        os.fchmod(file.fd, permissions(file.stat.mode))
        os.utime(file.fd, ns=(file.stat.modTime, file.stat.modTime))
        os.close(file.fd)
        del self._arriving[packet.ID]


def _is_same(there: os.stat_result, about: Stat, mode: int) -> bool:
    return (
        there.st_mode == stat.S_IFREG | permissions(mode)
        and there.st_size == about.size
        and there.st_mtime_ns == about.modTime
    )


def _lstat(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None


def _remove(path: str) -> None:
    """Whatever is at `path`, also nothing."""
    there = _lstat(path)
    if there is None:
        return
    if stat.S_ISDIR(there.st_mode):
        remove_whole_tree(path)
    else:
        os.unlink(path)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
