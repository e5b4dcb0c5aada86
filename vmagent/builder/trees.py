"""Reading trees of files for COPY and for cache keys: a context's folder or a stage's root file system.

A tree is open at a descriptor of its root, and every path is resolved by openat2 with RESOLVE_IN_ROOT, so that no `..`
and no symbolic link leads out of it.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from vmagent.dockerfile.errors import DockerfileError
from vmagent.dockerfile.ignore import compile_ignore
from vmagent.linux import mounts

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_PATH = os.O_PATH | os.O_CLOEXEC
_BLOCK = 1 << 20
_WILD = frozenset("*?[\\")
Excluded = Callable[[str], bool]  # whether a path, relative to the folder that is copied, is left out


class TreeFault(Exception):
    """What the user did wrong, in BuildKit's words."""


@dataclass(frozen=True, slots=True)
class Found:
    """A source that exists: `path` below the root without a leading slash ("" is the root), links resolved but for the
    last name."""

    path: str
    is_folder: bool
    pattern: str


def clean(path: str) -> str:
    """`path` relative to a root, without `.` and `..` (which stop at the root)."""
    return os.path.normpath("/" + path).lstrip("/")


def _kind(root_fd: int, path: str, *, follow: bool) -> int | None:
    """st_mode; None if there is nothing."""
    flags = _PATH if follow else _PATH | os.O_NOFOLLOW
    try:
        fd = mounts.open_in_root(root_fd, path or ".", flags)
    except OSError as e:
        if e.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return None
        raise
    try:
        return os.fstat(fd).st_mode
    finally:
        os.close(fd)


def find(root_fd: int, pattern: str, *, deep: bool = False) -> list[Found]:
    """What a COPY source names; links are followed, as in BuildKit. Raises TreeFault if nothing is there.

    `deep`: a part `**` is any number of folders (`COPY --parents`), and not one of any name.
    """
    wanted = clean(pattern)
    is_plain = _WILD.isdisjoint(wanted)
    found = [wanted] if is_plain else sorted(set(_expand(root_fd, "", wanted.split("/"), pattern, deep)))
    result = []
    for path in found:
        mode = _kind(root_fd, path, follow=True)
        if mode is None and (is_plain or _kind(root_fd, path, follow=False) is None):
            raise TreeFault(f'"/{path}": not found')
        result.append(Found(path, mode is not None and stat.S_ISDIR(mode), pattern))
    return result


def _expand(root_fd: int, folder: str, parts: list[str], pattern: str, deep: bool) -> Iterator[str]:
    part, rest = parts[0], parts[1:]
    any_depth = deep and part == "**"
    if any_depth and rest:
        yield from _expand(root_fd, folder, rest, pattern, deep)
    if _WILD.isdisjoint(part):
        names = [part]
    else:
        try:
            fd = mounts.open_in_root(root_fd, folder or ".", FOLDER)
        except OSError as e:
            if e.errno in (errno.ENOENT, errno.ENOTDIR):
                return
            raise
        try:
            wanted = compile_ignore([f"\\{part}" if part.startswith("!") else part])
            names = [name for name in os.listdir(fd) if wanted.ignores(name)]
        except DockerfileError as e:
            raise TreeFault(f"failed to read {pattern}: {e}") from e
        finally:
            os.close(fd)
    for name in names:
        path = f"{folder}/{name}" if folder else name
        if any_depth and rest:
            if _is_real_folder(root_fd, path):
                yield from _expand(root_fd, path, parts, pattern, deep)
        elif rest:
            yield from _expand(root_fd, path, rest, pattern, deep)
        elif _kind(root_fd, path, follow=False) is not None:
            yield path


def _is_real_folder(root_fd: int, path: str) -> bool:
    """A folder that is no link: following links at any depth could go in a circle."""
    mode = _kind(root_fd, path, follow=False)
    return mode is not None and stat.S_ISDIR(mode)


class Digest:
    """The digest of a set of sources: names, kinds, modes, owners, extended attributes and bytes, but no times."""

    def __init__(self, root_fd: int, *, is_context: bool, excluded: Excluded) -> None:
        """`is_context`: owners and extended attributes don't count, since they are not copied."""
        self._root_fd, self._is_context, self._excluded = root_fd, is_context, excluded
        self._hash = hashlib.sha256()
        self._seen: dict[tuple[int, int], str] = {}
        self._base = 0  # length of the path of the folder that is being added, with its slash

    def add(self, found: Found) -> None:
        """Add a source with everything below it. Raises OSError."""
        self._put(b"source", os.fsencode(found.path), b"%d" % found.is_folder)
        self._base = len(found.path) + 1 if found.path else 0
        if found.is_folder:
            fd = mounts.open_in_root(self._root_fd, found.path or ".", FOLDER)
            try:
                self._folder(fd, found.path)
            finally:
                os.close(fd)
            return
        folder, _, name = found.path.rpartition("/")
        fd = mounts.open_in_root(self._root_fd, folder or ".", FOLDER)
        try:
            target = real_file(self._root_fd, found.path)
            if target >= 0:
                try:
                    self._stat(os.fstat(target), found.path)
                    self._content(target)
                finally:
                    os.close(target)
            else:
                self._entry(fd, name, found.path)
        finally:
            os.close(fd)

    def hexdigest(self) -> str:
        return self._hash.hexdigest()

    def _put(self, *fields: bytes) -> None:
        for field in fields:
            self._hash.update(b"%d:" % len(field) + field)

    def _folder(self, fd: int, path: str) -> None:
        self._stat(os.fstat(fd), path)
        self._xattrs(fd)
        for name in sorted(os.listdir(fd), key=os.fsencode):
            child = f"{path}/{name}" if path else name
            if not self._excluded(child[self._base :]):
                self._entry(fd, name, child)

    def _entry(self, folder_fd: int, name: str, path: str) -> None:
        info = os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
        self._put(os.fsencode(path))
        if stat.S_ISDIR(info.st_mode):
            fd = os.open(name, FOLDER | os.O_NOFOLLOW, dir_fd=folder_fd)
            try:
                self._folder(fd, path)
            finally:
                os.close(fd)
            return
        self._stat(info, path)
        if stat.S_ISLNK(info.st_mode):
            self._put(os.fsencode(os.readlink(name, dir_fd=folder_fd)))
        elif stat.S_ISREG(info.st_mode):
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder_fd)
            try:
                self._content(fd)
            finally:
                os.close(fd)

    def _stat(self, info: os.stat_result, path: str) -> None:
        owner = (0, 0) if self._is_context else (info.st_uid, info.st_gid)
        self._put(b"%o %d %d %d" % (info.st_mode, *owner, info.st_rdev))
        if info.st_nlink > 1 and not stat.S_ISDIR(info.st_mode):
            self._put(os.fsencode(self._seen.setdefault((info.st_dev, info.st_ino), path)))

    def _content(self, fd: int) -> None:
        self._xattrs(fd)
        content = hashlib.sha256()
        size = 0
        while block := os.read(fd, _BLOCK):
            content.update(block)
            size += len(block)
        self._put(b"%d" % size, content.digest())

    def _xattrs(self, fd: int) -> None:
        for name in () if self._is_context else sorted(own_xattrs(fd)):
            self._put(os.fsencode(name), os.getxattr(fd, name))


def real_file(root_fd: int, path: str) -> int:
    """A descriptor of the regular file that `path` means, links followed inside the root; -1 if it is none."""
    mode = _kind(root_fd, path, follow=True)
    if mode is None or not stat.S_ISREG(mode):
        return -1
    return mounts.open_in_root(root_fd, path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)


def own_xattrs(place: int | str) -> list[str]:
    """The names of the attributes that a copy keeps; of a descriptor, or of a path whose last name is not followed."""
    try:
        names = os.listxattr(place, follow_symlinks=isinstance(place, int))
    except OSError as e:
        if e.errno == errno.ENOTSUP:
            return []
        raise
    return [
        name
        for name in names
        if not name.startswith(("trusted.overlay.", "user.overlay.", "system.", "security.selinux"))
    ]
