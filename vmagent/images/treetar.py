"""A layer's folder as its tar: the same folder always gives the same bytes, so its digest can be the layer's diff_id.

The folder is an overlay's upper folder: overlayfs' marks become OCI whiteouts (image-spec, layer.md, "Whiteouts").
Names are sorted, owners numeric, times whole seconds. The folder must not change while it is read.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Generator, Iterator, Mapping

from vmagent.images import tarwriter
from vmagent.images.tarstream import CHAR, DEVICE_BLOCK, DIRECTORY, FIFO, HARD_LINK, REGULAR, SYMLINK
from vmagent.images.unpack import FORBIDDEN_XATTRS, OPAQUE, OPAQUE_XATTR, WHITEOUT

READ = 1 << 20
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_LEFT_OUT = (*FORBIDDEN_XATTRS, "system.", "security.selinux")
_SECOND = 1_000_000_000
KINDS = {
    stat.S_IFREG: REGULAR,
    stat.S_IFDIR: DIRECTORY,
    stat.S_IFLNK: SYMLINK,
    stat.S_IFCHR: CHAR,
    stat.S_IFBLK: DEVICE_BLOCK,
    stat.S_IFIFO: FIFO,
}


def entry_header(
    path: str,
    kind: bytes,
    *,
    size: int = 0,
    mode: int,
    owner: tuple[int, int],
    mtime_ns: int,
    link: str = "",
    device: int = 0,
    xattrs: Mapping[str, bytes] | None = None,
) -> bytes:
    """The header of a member of a layer that is made here: whole seconds, and only the attributes that layers have."""
    return tarwriter.header(
        path,
        kind,
        size=size,
        mode=mode,
        uid=owner[0],
        gid=owner[1],
        mtime_ns=mtime_ns // _SECOND * _SECOND,
        link=link,
        device=(os.major(device), os.minor(device)) if device else (0, 0),
        xattrs={key: value for key, value in xattrs.items() if not key.startswith(_LEFT_OUT)} if xattrs else None,
    )


def content(fd: int, size: int, path: str) -> Iterator[bytes]:
    """The `size` bytes of a regular file, and the padding behind them. Raises OSError, with `path`, if it has fewer."""
    left = size
    while left:
        block = os.read(fd, min(READ, left))
        if not block:
            raise OSError(errno.EIO, "the file became shorter while it was read", path)
        left -= len(block)
        yield block
    yield tarwriter.padding(size)


class _Opened:
    """A folder that is being read: its descriptor, the path of its entries, the names that are left."""

    def __init__(self, fd: int, prefix: str) -> None:
        self.fd, self.prefix = fd, prefix
        self._left: list[str] | None = None

    def next(self) -> str:
        """The next name, "" after the last one."""
        if self._left is None:
            self._left = sorted(os.listdir(self.fd), key=os.fsencode, reverse=True)
        return self._left.pop() if self._left else ""


class TreeTar:
    """One pass over a folder. After it, `file_bytes` is the sum of the sizes of its regular files."""

    def __init__(self, *, has_folder_times: bool = True) -> None:
        """Without folder times all folders are of 1970: two unpackings of one tar differ in the times of folders that
        it does not name."""
        self._has_folder_times = has_folder_times
        self.file_bytes = 0
        self._seen: dict[tuple[int, int], str] = {}

    def blocks(self, folder: str) -> Generator[bytes, None, None]:
        """The tar, in pieces of about 1 MiB. Raises OSError."""
        held = bytearray()
        with contextlib.closing(self._pieces(folder)) as pieces:
            for piece in pieces:
                held += piece
                if len(held) >= READ:
                    yield bytes(held)
                    held.clear()
        yield bytes(held) + tarwriter.END

    def _pieces(self, folder: str) -> Generator[bytes, None, None]:
        """Depth first, without recursion: a tree may be deeper than Python's stack."""
        opened = [_Opened(os.open(folder, _FOLDER), "")]
        try:
            while opened:
                inner = opened[-1]
                if name := inner.next():
                    yield from self._entry(inner.fd, name, inner.prefix + name, opened)
                else:
                    os.close(opened.pop().fd)
        finally:
            for left in opened:
                os.close(left.fd)

    def _entry(self, folder_fd: int, name: str, path: str, opened: list[_Opened]) -> Iterator[bytes]:
        """The pieces of one entry; a folder's own, and the folder is added to `opened`."""
        info = os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
        kind = KINDS.get(stat.S_IFMT(info.st_mode))
        if kind is None:
            return  # a socket: tar has no type for it
        if kind == CHAR and info.st_rdev == 0:
            yield self._marker(path[: -len(name)] + WHITEOUT + name)
        elif kind == DIRECTORY:
            fd = os.open(name, _FOLDER, dir_fd=folder_fd)
            opened.append(_Opened(fd, path + "/"))
            xattrs = _xattrs(fd)
            is_opaque = xattrs.pop(OPAQUE_XATTR, b"") == b"y"
            yield self._header(path, kind, info, xattrs=xattrs)
            if is_opaque:
                yield self._marker(f"{path}/{OPAQUE}")
        elif kind == REGULAR:
            yield from self._regular(folder_fd, name, path, info)
        else:
            link = os.readlink(name, dir_fd=folder_fd) if kind == SYMLINK else ""
            xattrs = _xattrs(f"/proc/self/fd/{folder_fd}/{name}")
            yield self._header(path, kind, info, link=link, xattrs=xattrs)

    def _regular(self, folder_fd: int, name: str, path: str, info: os.stat_result) -> Iterator[bytes]:
        if info.st_nlink > 1:
            first = self._seen.setdefault((info.st_dev, info.st_ino), path)
            if first != path:
                yield self._header(path, HARD_LINK, info, link=first)
                return
        self.file_bytes += info.st_size
        fd = os.open(name, _FILE, dir_fd=folder_fd)
        try:
            yield self._header(path, REGULAR, info, size=info.st_size, xattrs=_xattrs(fd))
            yield from content(fd, info.st_size, path)
        finally:
            os.close(fd)

    def _header(
        self,
        path: str,
        kind: bytes,
        info: os.stat_result,
        *,
        size: int = 0,
        link: str = "",
        xattrs: dict[str, bytes] | None = None,
    ) -> bytes:
        has_time = kind != DIRECTORY or self._has_folder_times
        return entry_header(
            path,
            kind,
            size=size,
            mode=stat.S_IMODE(info.st_mode),
            owner=(info.st_uid, info.st_gid),
            mtime_ns=info.st_mtime_ns if has_time else 0,
            link=link,
            device=info.st_rdev,
            xattrs=xattrs,
        )

    def _marker(self, path: str) -> bytes:
        return tarwriter.header(path)


def _xattrs(place: int | str) -> dict[str, bytes]:
    """The attributes of a descriptor, or of a path whose last name is not followed."""
    follow = isinstance(place, int)
    try:
        names = os.listxattr(place, follow_symlinks=follow)
    except OSError as e:
        if e.errno == errno.ENOTSUP:
            return {}
        raise
    return {name: os.getxattr(place, name, follow_symlinks=follow) for name in names}
