"""Files of this machine, reached by folder descriptors: no link on the way is followed, so nothing outside of a shared
folder is reached whatever the client or anyone on the host renames meanwhile."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import stat
import struct
import sys
from collections.abc import Iterator, Sequence

from desktop.folders import xattrs
from desktop.folders.wire import NOBODY, Attributes, RenameFlag

assert sys.platform != "win32"

# The name that means the folder itself.
HERE = b"."
OWNER = b"user.cove.owner"  # "UID:GID" as the client has set them; "-" where it has not
HIDDEN = b"user.cove."
_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_AT_FDCWD, _AT_SYMLINK_NOFOLLOW, _AT_EMPTY_PATH, _AT_STATX_DONT_SYNC = -100, 0x100, 0x1000, 0x4000
_STATX_ALL = 0xFFF
# struct statx up to stx_dev_minor (linux/stat.h).
_STATX = struct.Struct("<II QIIIH2xQQQQ qI4x qI4x qI4x qI4x IIII")
_SYS_OPENAT2 = 437  # on all of Linux' architectures
_RESOLVE_NO_SYMLINKS, _RESOLVE_BENEATH, _RESOLVE_CACHED = 0x04, 0x08, 0x20
_HOW = struct.Struct("@QQQ")  # struct open_how (linux/openat2.h)
_LONG = struct.Struct("@l")
# linux/magic.h: ext4, XFS, Btrfs, F2FS, tmpfs, overlayfs.
_LOCAL = (0xEF53, 0x58465342, 0x9123683E, 0xF2F52010, 0x01021994, 0x794C7630)
_libc = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def folder(root: bytes, parts: Sequence[bytes]) -> Iterator[int]:
    """A descriptor of the folder to which `parts` lead from `root`. Raises OSError: ESTALE where one is a link now."""
    fd = os.open(root, _FOLDER & ~os.O_NOFOLLOW)
    try:
        if sys.platform == "linux" and len(parts) > 1:
            with contextlib.suppress(OSError):  # this kernel is too old, or the way tells which error it is
                below = open_beneath(fd, parts, _FOLDER)
                os.close(fd)
                fd, parts = below, ()
        for part in parts:
            try:
                below = os.open(part, _FOLDER, dir_fd=fd)
            except OSError as e:
                if e.errno == errno.ENOTDIR and is_link(fd, part):
                    raise OSError(errno.ESTALE, "it is a link now") from e
                raise
            os.close(fd)
            fd = below
        yield fd
    finally:
        os.close(fd)


def open_beneath(fd: int, parts: Sequence[bytes], flags: int, resolve: int = 0) -> int:
    """openat2(2) of what `parts` lead to from the folder `fd`, with no link on the way. `resolve`: more of its flags.
    Raises OSError: ENOSYS before Linux 5.6."""
    return _openat2(fd, b"/".join(parts), flags, resolve | _RESOLVE_BENEATH | _RESOLVE_NO_SYMLINKS)


def open_cached(path: bytes, flags: int) -> int:
    """openat2(2) of `path`, links followed, that waits for nothing. Raises OSError: EAGAIN where the way there is not
    in memory, EINVAL before Linux 5.12, ENOSYS before 5.6."""
    return _openat2(_AT_FDCWD, path, flags, _RESOLVE_CACHED)


def _openat2(fd: int, path: bytes, flags: int, resolve: int) -> int:
    how = _HOW.pack(flags, 0, resolve)
    opened: int = _libc.syscall(_SYS_OPENAT2, fd, path, how, len(how))
    if opened < 0:
        raise _last_error()
    return opened


def opened_folder(fd: int, name: bytes) -> int:
    """A descriptor to read the folder `name` of the folder `fd`, for its caller to close. Raises OSError."""
    return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)


def names(fd: int, name: bytes) -> list[bytes]:
    """What is in the folder `name` of the folder `fd`. Raises OSError."""
    opened = opened_folder(fd, name)
    try:
        return [os.fsencode(each) for each in os.listdir(opened)]
    finally:
        os.close(opened)


def small_content(fd: int, limit_bytes: int) -> bytes:
    """All of a file; b"" of one that has more than `limit_bytes`. Raises OSError."""
    if os.fstat(fd).st_size > limit_bytes:
        return b""
    content = os.pread(fd, limit_bytes + 1, 0)
    return content if len(content) <= limit_bytes else b""


def is_link(fd: int, name: bytes) -> bool:
    with contextlib.suppress(OSError):
        return stat.S_ISLNK(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode)
    return False


def attributes(fd: int, name: bytes | None, valid_ms: int) -> Attributes:
    """Of `name` in the folder `fd`, of `fd` itself without a name. Raises OSError."""
    uid, gid = owner(fd, name)
    if sys.platform == "linux":
        found = _statx(fd, name)
        (_, _, _, nlink, _, _, mode, ino, size, blocks, _, atime, a_ns, birth, b_ns, ctime, c_ns, mtime, m_ns) = found[
            :19
        ]
        return Attributes(
            ino=ino,
            dev=os.makedev(found[21], found[22]),
            birth=birth * 10**9 + b_ns,
            size=size,
            blocks=blocks,
            atime=atime * 10**9 + a_ns,
            mtime=mtime * 10**9 + m_ns,
            ctime=ctime * 10**9 + c_ns,
            mode=mode,
            nlink=nlink,
            uid=uid,
            gid=gid,
            rdev=_packed_device(found[19], found[20]),
            valid_ms=valid_ms,
        )
    seen = os.fstat(fd) if name is None else os.stat(name, dir_fd=fd, follow_symlinks=False)
    return Attributes(
        ino=seen.st_ino,
        dev=seen.st_dev,
        birth=int(getattr(seen, "st_birthtime", 0) * 10**9),
        size=seen.st_size,
        blocks=getattr(seen, "st_blocks", 0),
        atime=seen.st_atime_ns,
        mtime=seen.st_mtime_ns,
        ctime=seen.st_ctime_ns,
        mode=seen.st_mode,
        nlink=seen.st_nlink,
        uid=uid,
        gid=gid,
        rdev=0,
        valid_ms=valid_ms,
    )


def device(fd: int) -> int:
    """The number of the file system of `fd`, which waits for no network (Linux). Raises OSError."""
    found = _statx(fd, None, _AT_STATX_DONT_SYNC)
    return os.makedev(found[21], found[22])


def _statx(fd: int, name: bytes | None, flags: int = 0) -> tuple[int, ...]:
    buffer = ctypes.create_string_buffer(256)
    flags |= _AT_SYMLINK_NOFOLLOW | (_AT_EMPTY_PATH if name is None else 0)
    if _libc.statx(fd, name or b"", flags, _STATX_ALL, buffer) < 0:
        raise _last_error()
    return _STATX.unpack_from(buffer)


def is_local(fd: int) -> bool:
    """Whether `fd` is on a file system of this machine's disks or memory that is known as such. Raises OSError."""
    if sys.platform != "linux":
        return False
    buffer = ctypes.create_string_buffer(256)
    if _libc.fstatfs(fd, buffer) < 0:
        raise _last_error()
    return _LONG.unpack_from(buffer)[0] in _LOCAL


def tells_all_names(fd: int, name: bytes) -> bool:
    """Whether inotify tells of each new name in the folder `name` of the folder `fd`, and no other spelling of a name
    means the same: not on network file systems, nor where names have no case. Raises OSError."""
    if not is_local(fd):
        return False
    other = name.swapcase()
    if other == name:
        return False  # nothing to try it with
    try:
        seen, other_seen = (os.stat(each, dir_fd=fd, follow_symlinks=False) for each in (name, other))
    except FileNotFoundError:
        return True
    return seen.st_ino != other_seen.st_ino


def _packed_device(major: int, minor: int) -> int:
    """As the kernel's new_encode_dev, in which FUSE has device numbers."""
    return (minor & 0xFF) | (major << 8) | ((minor & ~0xFF) << 12)


def _last_error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))


def owner(fd: int, name: bytes | None) -> tuple[int, int]:
    """The uid and gid that the client has set, NOBODY where it has not."""
    try:
        text = xattrs.get(fd, name, OWNER)
    except OSError:  # none was set, or this file can have none
        return NOBODY, NOBODY
    uid, _, gid = text.decode(errors="replace").partition(":")
    return _owner_id(uid), _owner_id(gid)


def _owner_id(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 11 else NOBODY


def set_owner(fd: int, name: bytes | None, uid: int | None, gid: int | None) -> None:
    """Remember who owns the file in the client's eyes. Where the file can't have attributes, this does nothing: the
    file goes on to belong to whoever looks."""
    old = owner(fd, name)
    new = [old[0] if uid is None else uid, old[1] if gid is None else gid]
    text = ":".join("-" if number == NOBODY else str(number) for number in new)
    try:
        xattrs.put(fd, name, OWNER, text.encode())
    except OSError as e:
        if e.errno not in (errno.ENOTSUP, errno.EPERM, errno.EACCES):
            raise


def rename(old_fd: int, old: bytes, new_fd: int, new: bytes, flags: int) -> None:
    """renameat2(2). Raises OSError: EINVAL for flags that this machine does not have."""
    if not flags:
        os.rename(old, new, src_dir_fd=old_fd, dst_dir_fd=new_fd)
        return
    if sys.platform != "linux" or flags & ~(RenameFlag.NO_REPLACE | RenameFlag.EXCHANGE):
        raise OSError(errno.EINVAL, "rename has no such flags here")
    if _libc.renameat2(old_fd, old, new_fd, new, flags) < 0:
        raise _last_error()


def open_file(fd: int, name: bytes, flags: int, mode: int = 0) -> int:
    """Open a regular file. Raises OSError: ESTALE where it is something else by now."""
    # Not blocking: it may be a FIFO by now, whose opening would wait for its other end.
    try:
        found = os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, mode, dir_fd=fd)
    except OSError as e:
        if e.errno in (errno.ELOOP, errno.ENXIO):
            raise OSError(errno.ESTALE, "it is no regular file") from e
        raise
    if not stat.S_ISREG(os.fstat(found).st_mode):
        os.close(found)
        raise OSError(errno.ESTALE, "it is no regular file")
    return found


def set_mode(fd: int, name: bytes, mode: int) -> None:
    """chmod without following a link. Raises OSError."""
    if os.chmod in os.supports_follow_symlinks:
        os.chmod(name, mode, dir_fd=fd, follow_symlinks=False)
        return
    if is_link(fd, name):
        raise OSError(errno.EOPNOTSUPP, "a link has no mode")
    # Linux before 6.6 has no such call. The descriptor names the file itself, so a link that comes now is not followed.
    found = os.open(name, getattr(os, "O_PATH", os.O_RDONLY) | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
    try:
        os.chmod(f"/proc/self/fd/{found}", mode)
    finally:
        os.close(found)
