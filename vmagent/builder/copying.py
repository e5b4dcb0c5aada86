"""Writing files into a stage's root file system: COPY, ADD and WORKDIR.

Both trees are open at descriptors of their roots. The folder of each file is resolved inside its root; in a folder only
single names are used, which are not followed.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from contextlib import suppress
from typing import IO

from vmagent.builder import modes
from vmagent.builder.trees import FOLDER, Excluded, Found, TreeFault, clean, own_xattrs, real_file
from vmagent.linux import mounts

_BLOCK = 1 << 20
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
Owner = tuple[int, int]
_MAX_LINKS = 40  # as in the kernel


def make_folders(root_fd: int, path: str, owner: Owner) -> int:
    """A descriptor of the folder at `path`, made with mode 0755 where it is missing. The caller closes it.

    Raises TreeFault if a file is in the way, OSError.
    """
    try:
        return mounts.open_in_root(root_fd, path or ".", FOLDER)
    except OSError as e:
        if e.errno == errno.ENOTDIR:
            raise TreeFault(f"cannot copy to non-directory: /{path}") from e
        if e.errno != errno.ENOENT:
            raise
    parent, _, name = path.rpartition("/")
    parent_fd = make_folders(root_fd, parent, owner)
    try:
        with suppress(FileExistsError):  # a dangling link: opening it below fails
            os.mkdir(name, 0o755, dir_fd=parent_fd)
            os.chown(name, *owner, dir_fd=parent_fd, follow_symlinks=False)
    finally:
        os.close(parent_fd)
    return mounts.open_in_root(root_fd, path, FOLDER)


def is_folder(root_fd: int, path: str) -> bool:
    """Whether a folder is at `path`, links followed inside the root. Raises OSError."""
    try:
        os.close(mounts.open_in_root(root_fd, path or ".", FOLDER))
    except OSError as e:
        if e.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return False
        raise
    return True


def follow(root_fd: int, path: str) -> str:
    """`path`, or where the symbolic link there leads to inside the root: what COPY to a link writes. Raises OSError."""
    for _ in range(_MAX_LINKS):
        folder = os.path.dirname(path)
        try:
            fd = mounts.open_in_root(root_fd, path or ".", os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as e:
            if e.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return path
            raise
        try:
            if not stat.S_ISLNK(os.fstat(fd).st_mode):
                return path
            target = os.readlink("", dir_fd=fd)
        finally:
            os.close(fd)
        path = clean(target if target.startswith("/") else f"{folder}/{target}")
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), f"/{path}")


class Dressing:
    """What a copy keeps of its source: owner, mode, extended attributes."""

    def __init__(self, *, owner: Owner | None, is_context: bool, chmod: str = "") -> None:
        """`owner`: of everything that is made; None: the sources' own, root for those of a context.

        Of a context's files the extended attributes are not kept either: they are its machine's."""
        self._owner, self._is_context, self._chmod = owner, is_context, chmod

    @property
    def made_by(self) -> Owner:
        """The owner of folders that are made on the way."""
        return self._owner or (0, 0)

    def owner_of(self, info: os.stat_result) -> Owner:
        """Of the copy of a file."""
        if self._owner is not None:
            return self._owner
        return (0, 0) if self._is_context else (info.st_uid, info.st_gid)

    def mode_of(self, info: os.stat_result) -> int:
        """The permission bits of the copy of a file. Raises TreeFault."""
        return modes.changed(self._chmod, info.st_mode) if self._chmod else stat.S_IMODE(info.st_mode)

    def attributes(self, source: int) -> dict[str, bytes]:
        """The extended attributes of the copy of an open file. Raises OSError."""
        return {} if self._is_context else {name: os.getxattr(source, name) for name in own_xattrs(source)}


class Copier:
    """Copies from one tree to another."""

    def __init__(
        self,
        source_fd: int,
        target_fd: int,
        dressing: Dressing,
        excluded: Excluded = lambda path: False,
    ) -> None:
        self._source_fd, self._target_fd = source_fd, target_fd
        self._dressing, self._excluded = dressing, excluded
        self._links: dict[tuple[int, int], tuple[int, str]] = {}  # inode of a source → where its copy is
        self._link_fds: list[int] = []
        self._base = 0  # length of the path of the folder that is being copied, with its slash

    def close(self) -> None:
        """Forget the hard links that were copied; the copier can be used again."""
        self._links.clear()
        for fd in self._link_fds:
            os.close(fd)
        self._link_fds.clear()

    def copy(self, found: Found, destination: str, *, into: bool, parents: str | None = None) -> None:
        """Copy one source. `destination` is an absolute path; `into`: the source is put into the folder there.

        Of a folder, the content is copied. `parents`: the part of the source's path to keep (`COPY --parents`).
        Raises TreeFault, OSError.
        """
        place = clean(destination)
        if not into:
            place = follow(self._target_fd, place)
        if parents is not None:
            place = "/".join(filter(None, (place, parents if found.is_folder else os.path.dirname(parents))))
            into = True
        self._base = len(found.path) + 1 if found.path else 0
        if found.is_folder:
            target = make_folders(self._target_fd, place, self._dressing.made_by)
            try:
                source = mounts.open_in_root(self._source_fd, found.path or ".", FOLDER)
                try:
                    self._children(source, target, found.path)
                finally:
                    os.close(source)
            finally:
                os.close(target)
            return
        folder, name = (place, os.path.basename(found.path)) if into else os.path.split(place)
        target = make_folders(self._target_fd, folder, self._dressing.made_by)
        try:
            self._single(found, target, name)
        finally:
            os.close(target)

    def _single(self, found: Found, target: int, name: str) -> None:
        file = real_file(self._source_fd, found.path)
        if file >= 0:
            try:
                self._file(file, os.fstat(file), target, name)
            finally:
                os.close(file)
            return
        folder, _, base = found.path.rpartition("/")
        source = mounts.open_in_root(self._source_fd, folder or ".", FOLDER)
        try:
            self._entry(source, base, target, name, found.path)
        finally:
            os.close(source)

    def _children(self, source: int, target: int, path: str) -> None:
        for name in sorted(os.listdir(source), key=os.fsencode):
            child = f"{path}/{name}" if path else name
            if not self._excluded(child[self._base :]):
                self._entry(source, name, target, name, child)

    def _entry(self, source_folder: int, source_name: str, target: int, name: str, path: str) -> None:
        info = os.stat(source_name, dir_fd=source_folder, follow_symlinks=False)
        if stat.S_ISDIR(info.st_mode):
            self._folder(source_folder, source_name, info, target, name, path)
        elif stat.S_ISREG(info.st_mode):
            fd = os.open(source_name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source_folder)
            try:
                self._file(fd, info, target, name)
            finally:
                os.close(fd)
        else:
            self._special(source_folder, source_name, info, target, name)

    def _folder(
        self, source_folder: int, source_name: str, info: os.stat_result, target: int, name: str, path: str
    ) -> None:
        try:
            os.mkdir(name, 0o700, dir_fd=target)
        except FileExistsError:
            there = os.stat(name, dir_fd=target, follow_symlinks=False)
            if not stat.S_ISDIR(there.st_mode):
                raise TreeFault(f"cannot copy to non-directory: {name}") from None
        source = os.open(source_name, FOLDER | os.O_NOFOLLOW, dir_fd=source_folder)
        made = os.open(name, FOLDER | os.O_NOFOLLOW, dir_fd=target)
        try:
            self._children(source, made, path)
            self._dress(made, info, source)
        finally:
            os.close(source)
            os.close(made)

    def _file(self, source: int, info: os.stat_result, target: int, name: str) -> None:
        _make_room(target, name)
        key = (info.st_dev, info.st_ino)
        if info.st_nlink > 1 and (known := self._links.get(key)) is not None:
            os.link(known[1], name, src_dir_fd=known[0], dst_dir_fd=target, follow_symlinks=False)
            return
        made = os.open(name, _NEW, 0o600, dir_fd=target)
        try:
            _copy_bytes(source, made, info.st_size)
            self._dress(made, info, source)
        finally:
            os.close(made)
        if info.st_nlink > 1:
            self._link_fds.append(os.dup(target))
            self._links[key] = (self._link_fds[-1], name)

    def _dress(self, fd: int, info: os.stat_result, source: int) -> None:
        """Owner, mode, attributes and time, in this order: chown drops set-id bits and capabilities."""
        os.fchown(fd, *self._dressing.owner_of(info))
        os.fchmod(fd, self._dressing.mode_of(info))
        for attribute, value in self._dressing.attributes(source).items():
            try:
                os.setxattr(fd, attribute, value)
            except OSError as e:
                if e.errno not in (errno.ENOTSUP, errno.EPERM):
                    raise
        os.utime(fd, ns=(info.st_mtime_ns, info.st_mtime_ns))

    def _special(self, folder: int, source_name: str, info: os.stat_result, target: int, name: str) -> None:
        _make_room(target, name)
        if stat.S_ISLNK(info.st_mode):
            os.symlink(os.readlink(source_name, dir_fd=folder), name, dir_fd=target)
        elif stat.S_ISSOCK(info.st_mode):
            return
        else:
            os.mknod(name, info.st_mode, info.st_rdev, dir_fd=target)
            os.chmod(name, self._dressing.mode_of(info), dir_fd=target)  # made a moment ago, so it is no link
        os.chown(name, *self._dressing.owner_of(info), dir_fd=target, follow_symlinks=False)
        os.utime(name, ns=(info.st_mtime_ns, info.st_mtime_ns), dir_fd=target, follow_symlinks=False)


def write_file(
    root_fd: int, path: str, content: IO[bytes], *, owner: Owner, mode: int, mtime_ns: int | None = None
) -> None:
    """Make or replace the file at `path` (without a leading slash). Raises TreeFault, OSError."""
    folder, name = os.path.split(path)
    target = make_folders(root_fd, folder, owner)
    try:
        _make_room(target, name)
        fd = os.open(name, _NEW, 0o600, dir_fd=target)
        with os.fdopen(fd, "wb") as out:
            shutil.copyfileobj(content, out, _BLOCK)
            out.flush()
            os.fchown(fd, *owner)
            os.fchmod(fd, mode)
            if mtime_ns is not None:
                os.utime(fd, ns=(mtime_ns, mtime_ns))
    finally:
        os.close(target)


def _make_room(folder_fd: int, name: str) -> None:
    """Remove the file that is to be replaced. Raises TreeFault if a folder is there."""
    try:
        os.unlink(name, dir_fd=folder_fd)
    except FileNotFoundError:
        return
    except IsADirectoryError:
        raise TreeFault(f"cannot replace to directory {name} with file") from None


def _copy_bytes(source: int, target: int, size: int) -> None:
    left = size
    while left > 0:
        try:
            done = os.copy_file_range(source, target, left)
        except OSError as e:
            if e.errno not in (errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS):
                raise
            while block := os.read(source, _BLOCK):
                at = 0
                while at < len(block):
                    at += os.write(target, memoryview(block)[at:])
            return
        if not done:
            return
        left -= done


def clamp_times(folder: str, seconds: int) -> None:
    """Set every later time in a tree to `seconds` since 1970 (SOURCE_DATE_EPOCH). Raises OSError."""
    limit = seconds * 1_000_000_000
    for path, names, files, fd in os.fwalk(folder, topdown=False, follow_symlinks=False):
        del path
        for name in (*names, *files):
            if os.stat(name, dir_fd=fd, follow_symlinks=False).st_mtime_ns > limit:
                os.utime(name, ns=(limit, limit), dir_fd=fd, follow_symlinks=False)
