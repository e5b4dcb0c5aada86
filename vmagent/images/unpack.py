"""A layer's tar into a folder that overlayfs takes as a lower: nothing in the tar can reach outside that folder.

A member's folder is resolved in the layer's root first, through the links that earlier members made (links.py). The
safety does not depend on that: the resolved folder is opened by openat2 below the layer's root with RESOLVE_BENEATH and
RESOLVE_NO_SYMLINKS, so the kernel refuses every way out, and a descriptor stays inside whatever later members do. In a
folder only the member's last name is used; it is created with O_EXCL and never followed.

OCI image-spec, layer.md: "Applying Changesets", "Whiteouts". Whiteouts become overlayfs' own marks (character device
0/0, trusted.overlay.opaque): Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories".
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from types import TracebackType
from typing import Self

from vmagent.images import tarstream
from vmagent.images.faults import ImageFault
from vmagent.images.links import Links, clamped, components
from vmagent.images.tarstream import ByteSource, Member
from vmagent.linux.mounts import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, openat2

WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"
AUFS_OWN = ".wh..wh."  # other names reserved by aufs: no content
OPAQUE_XATTR = "trusted.overlay.opaque"
# overlayfs' own attributes are not taken from a layer: a redirect or metacopy would change the stack.
FORBIDDEN_XATTRS = ("trusted.overlay.", "user.overlay.")
_MAX_OPEN_DIRS = 256
_DIR_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def whiteout_of(base: str, name: str) -> str:
    """The name that whiteout `base` hides. Raises ImageFault where that is no name in its folder."""
    hidden = base[len(WHITEOUT) :]
    if hidden in ("", ".", ".."):
        raise ImageFault(f"whiteout {name!r} leads out of the layer", "invalid")
    return hidden


class Unpacker:
    """Unpacks into the folder open at `root_fd` (the caller's). A context manager: it closes what it opened."""

    def __init__(self, root_fd: int) -> None:
        self._root = root_fd
        self._dirs: dict[str, int] = {}
        self._dir_times: dict[str, int] = {}
        self._links = Links()
        self.file_bytes = 0  # sum of the sizes of regular files, docker's "size" of a layer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._dirs:
            os.close(self._dirs.popitem()[1])

    def unpack(self, source: ByteSource) -> None:
        """Every member of the tar, then the folders' times. Raises ImageFault, OSError."""
        for member in tarstream.members(source):
            try:
                self._apply(member, source)
            except OSError as e:
                if e.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS):
                    raise
                raise ImageFault(f"cannot unpack {member.name!r}: {e.strerror or e}", "invalid") from e
        for path, mtime_ns in self._dir_times.items():
            os.utime(self._dir(path, create=False), ns=(mtime_ns, mtime_ns))

    # --- folders: all paths here are free of links

    def _open_dir(self, path: str) -> int:
        return openat2(self._root, path, _DIR_FLAGS, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)

    def _dir(self, path: str, *, create: bool = True) -> int:
        """A descriptor of folder `path` ("" is the root), from the cache, or made with mode 0755 if it is not there."""
        if not path:
            return self._root
        if (fd := self._dirs.pop(path, None)) is not None:
            self._dirs[path] = fd  # the oldest is closed first; the caller may hold this one while it opens another
            return fd
        try:
            fd = self._open_dir(path)
        except FileNotFoundError:
            if not create:
                raise
            parent, _, base = path.rpartition("/")
            os.mkdir(base, 0o755, dir_fd=self._dir(parent))
            fd = self._open_dir(path)
            os.fchown(fd, 0, 0)  # a folder may give its group, and that it does so, to new ones
            os.fchmod(fd, 0o755)
        if len(self._dirs) >= _MAX_OPEN_DIRS:
            oldest = next(iter(self._dirs))
            os.close(self._dirs.pop(oldest))
        self._dirs[path] = fd
        return fd

    def _forget(self, path: str) -> None:
        below = path + "/"
        for known in [known for known in self._dirs if known == path or known.startswith(below)]:
            os.close(self._dirs.pop(known))

    def _remove(self, parent_fd: int, base: str, path: str) -> None:
        """Take away what an earlier member of this layer made under this name."""
        self._forget(path)
        self._links.remove(path)
        below = path + "/"
        for known in [known for known in self._dir_times if known == path or known.startswith(below)]:
            del self._dir_times[known]
        try:
            os.unlink(base, dir_fd=parent_fd)
        except IsADirectoryError:
            _remove_tree(parent_fd, base)

    # --- members

    def _apply(self, member: Member, source: ByteSource) -> None:
        parts = components(member.name, "path")
        if not parts:
            if member.type != tarstream.DIRECTORY:
                raise ImageFault(f"path {member.name!r} is not a name in the layer", "invalid")
            self._dress(self._root, member)
            self._dir_times[""] = member.mtime_ns
            return
        base = parts.pop()
        parent = self._links.folder("/".join(parts))
        path = f"{parent}/{base}" if parent else base
        if base.startswith(WHITEOUT):
            self._whiteout(parent, base, member)
            return
        if member.type == tarstream.DIRECTORY:
            self._directory(self._dir(parent), base, path, member)
            return
        parent_fd = self._dir(parent)
        if member.type == tarstream.REGULAR:
            self._file(parent_fd, base, path, member, source)
        elif member.type == tarstream.HARD_LINK:
            self._hard_link(parent_fd, base, path, member)
        else:
            self._special(parent_fd, base, path, member)

    def _dress(self, fd: int, member: Member) -> None:
        # chown first: it takes set-id bits and security.capability away.
        os.fchown(fd, member.uid, member.gid)
        os.fchmod(fd, member.mode)
        _set_xattrs(fd, member)

    def _directory(self, parent_fd: int, base: str, path: str, member: Member) -> None:
        was_whiteout = False
        try:
            os.mkdir(base, member.mode, dir_fd=parent_fd)
        except FileExistsError:
            found = os.stat(base, dir_fd=parent_fd, follow_symlinks=False)
            if not stat.S_ISDIR(found.st_mode):
                was_whiteout = _is_whiteout(found)
                self._remove(parent_fd, base, path)
                os.mkdir(base, member.mode, dir_fd=parent_fd)
        fd = os.open(base, _DIR_FLAGS | os.O_NOFOLLOW, dir_fd=parent_fd)
        try:
            self._dress(fd, member)
            if was_whiteout:
                os.setxattr(fd, OPAQUE_XATTR, b"y")
        finally:
            os.close(fd)
        self._dir_times[path] = member.mtime_ns

    def _file(self, parent_fd: int, base: str, path: str, member: Member, source: ByteSource) -> None:
        try:
            fd = os.open(base, _FILE_FLAGS, member.mode & 0o777, dir_fd=parent_fd)
        except FileExistsError:
            self._remove(parent_fd, base, path)
            fd = os.open(base, _FILE_FLAGS, member.mode & 0o777, dir_fd=parent_fd)
        try:
            if member.sparse is not None:
                for offset, length in member.sparse:
                    os.lseek(fd, offset, os.SEEK_SET)
                    _copy(fd, source, length)
                os.ftruncate(fd, member.size)
            else:
                _copy(fd, source, member.size)
            os.fchown(fd, member.uid, member.gid)  # also of root: a folder may give its own group to new files
            if member.mode & 0o7000:
                os.fchmod(fd, member.mode)
            _set_xattrs(fd, member)
            os.utime(fd, ns=(member.mtime_ns, member.mtime_ns))
        finally:
            os.close(fd)
        self.file_bytes += member.size

    def _hard_link(self, parent_fd: int, base: str, path: str, member: Member) -> None:
        *folder, target_base = clamped(member.link, f"the hard link {member.name!r} to") or [""]
        target_parent = self._links.folder("/".join(folder))
        try:
            target_fd = self._dir(target_parent, create=False)
            found = os.stat(target_base, dir_fd=target_fd, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            raise ImageFault(
                f"the hard link {member.name!r} to {member.link!r}: no such file in this layer", "invalid"
            ) from None
        with contextlib.suppress(FileNotFoundError):
            old = os.stat(base, dir_fd=parent_fd, follow_symlinks=False)
            if (old.st_dev, old.st_ino) == (found.st_dev, found.st_ino):
                return  # the name already is that file
            self._remove(parent_fd, base, path)
        os.link(target_base, base, src_dir_fd=target_fd, dst_dir_fd=parent_fd, follow_symlinks=False)
        self._links.copy(f"{target_parent}/{target_base}" if target_parent else target_base, path)

    def _special(self, parent_fd: int, base: str, path: str, member: Member) -> None:
        try:
            self._make_special(parent_fd, base, member)
        except FileExistsError:
            self._remove(parent_fd, base, path)
            self._make_special(parent_fd, base, member)
        if member.type == tarstream.SYMLINK:
            self._links.add(path, member.link)
        os.chown(base, member.uid, member.gid, dir_fd=parent_fd, follow_symlinks=False)
        if member.type != tarstream.SYMLINK and member.mode & 0o7000:
            # chmod follows links, but what stands here is no link: it was made a moment ago by this process alone
            os.chmod(base, member.mode, dir_fd=parent_fd)
        _set_xattrs(f"/proc/self/fd/{parent_fd}/{base}", member)
        os.utime(base, ns=(member.mtime_ns, member.mtime_ns), dir_fd=parent_fd, follow_symlinks=False)

    @staticmethod
    def _make_special(parent_fd: int, base: str, member: Member) -> None:
        if member.type == tarstream.SYMLINK:
            if not member.link:
                raise ImageFault(f"the symbolic link {member.name!r} has no target", "invalid")
            os.symlink(member.link, base, dir_fd=parent_fd)
        elif member.type == tarstream.FIFO:
            os.mkfifo(base, member.mode & 0o777, dir_fd=parent_fd)
        else:
            kind = stat.S_IFCHR if member.type == tarstream.CHAR else stat.S_IFBLK
            os.mknod(base, kind | member.mode & 0o777, os.makedev(member.major, member.minor), dir_fd=parent_fd)

    def _whiteout(self, parent: str, base: str, member: Member) -> None:
        if base == OPAQUE:
            os.setxattr(self._dir(parent), OPAQUE_XATTR, b"y")
            return
        if base.startswith(AUFS_OWN):
            return
        hidden = whiteout_of(base, member.name)
        parent_fd = self._dir(parent)
        try:
            os.mknod(hidden, stat.S_IFCHR, os.makedev(0, 0), dir_fd=parent_fd)
        except FileExistsError:
            # It hides what lies below this layer; what this layer itself brings under the name stays.
            if stat.S_ISDIR(os.stat(hidden, dir_fd=parent_fd, follow_symlinks=False).st_mode):
                fd = os.open(hidden, _DIR_FLAGS | os.O_NOFOLLOW, dir_fd=parent_fd)
                try:
                    os.setxattr(fd, OPAQUE_XATTR, b"y")
                finally:
                    os.close(fd)


def _is_whiteout(found: os.stat_result) -> bool:
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0


def _set_xattrs(place: int | str, member: Member) -> None:
    """Set the member's attributes on a descriptor, or on a path whose last name is not followed.

    Left out, as docker leaves them out: what the file system or the kind of file cannot carry (ENOTSUP), what this
    process may not set (EPERM), and overlayfs' own.
    """
    for name, value in member.xattrs.items():
        if name.startswith(FORBIDDEN_XATTRS):
            continue
        try:
            os.setxattr(place, name, value, follow_symlinks=isinstance(place, int))
        except OSError as e:
            if e.errno not in (errno.ENOTSUP, errno.EPERM):
                raise


def _copy(fd: int, source: ByteSource, size: int) -> None:
    for piece in source.pieces(size):
        written = os.write(fd, piece)
        while written < len(piece):
            written += os.write(fd, memoryview(piece)[written:])


def _remove_tree(parent_fd: int, base: str) -> None:
    """Remove folder `base` of `parent_fd` and all below it, following nothing. Raises OSError."""
    fd = os.open(base, _DIR_FLAGS | os.O_NOFOLLOW, dir_fd=parent_fd)
    try:
        with os.scandir(fd) as entries:
            listed = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        for name, is_dir in listed:
            if is_dir:
                _remove_tree(fd, name)
            else:
                os.unlink(name, dir_fd=fd)
    finally:
        os.close(fd)
    os.rmdir(base, dir_fd=parent_fd)
