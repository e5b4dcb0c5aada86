"""What each request of shared folders does. Blocking; called in threads."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import struct
import sys
from collections.abc import Callable, Iterator

from desktop.folders import hostfiles, places, quick, setting, xattrs
from desktop.folders.changes import Notice
from desktop.folders.handles import Handles
from desktop.folders.shares import Above, Sharing, above_attributes
from desktop.folders.wire import (
    CONTENT_LIMIT,
    NOBODY,
    OPEN,
    READ,
    U32,
    U64,
    Attributes,
    Fields,
    MissingError,
    OpenFlag,
    Operation,
    RenameFlag,
    Request,
    WriteFlag,
)

assert sys.platform != "win32"

READ_LIMIT = 1 << 20
LIST_LIMIT = 1 << 20
_CREATE = struct.Struct("<II")
_WRITE = struct.Struct("<QQI")
_FALLOCATE = struct.Struct("<QIQQ")
_LIST = struct.Struct("<QI")
_STATFS = struct.Struct("<7Q")


class Operations:
    """The requests of one session."""

    def __init__(
        self,
        sharing: Sharing,
        handles: Handles,
        tell: Callable[[Notice], None],
        do: Callable[[Callable[[], object]], object],
    ) -> None:
        """`tell` is called, in a thread, with changes that the client did not make; `do` has a job carried out in a
        thread."""
        self._handles = handles
        self._places = places.Places(sharing, handles, tell)
        self._changes = self._places.changes
        self._quick = quick.Quick(sharing, handles, self._changes, do)
        self._verbs: dict[int, Callable[[Fields, bool], bytes]] = {
            Operation.LOOKUP: self._lookup,
            Operation.GETATTR: self._getattr,
            Operation.SETATTR: self._setattr,
            Operation.READLINK: self._readlink,
            Operation.SYMLINK: self._symlink,
            Operation.MKNOD: self._mknod,
            Operation.MKDIR: self._mkdir,
            Operation.UNLINK: self._unlink,
            Operation.RMDIR: self._rmdir,
            Operation.RENAME: self._rename,
            Operation.LINK: self._link,
            Operation.OPEN: self._open,
            Operation.CREATE: self._create,
            Operation.READ: self._read,
            Operation.WRITE: self._write,
            Operation.FSYNC: self._fsync,
            Operation.LIST: self._list,
            Operation.STATFS: self._statfs,
            Operation.GETXATTR: self._getxattr,
            Operation.SETXATTR: self._setxattr,
            Operation.LISTXATTR: self._listxattr,
            Operation.REMOVEXATTR: self._removexattr,
            Operation.FALLOCATE: self._fallocate,
            Operation.SEEK: self._seek,
        }

    def at_once(self, request: Request) -> bytes | None:
        """The body of the reply to a request that waits for no disk; None: it is one for `carry_out`."""
        return self._quick.carry_out(request)

    def carry_out(self, request: Request) -> bytes:
        """The body of the reply. Raises OSError, WireError."""
        verb = self._verbs.get(request.operation)
        if verb is None:
            raise OSError(errno.ENOSYS, "no such operation")
        return verb(Fields(request.body), request.is_repeated)

    def _lookup(self, fields: Fields, _: bool) -> bytes:
        path = fields.text()
        with self._changes.about(path):
            try:
                return self._places.attributes(path).packed()
            except FileNotFoundError as e:
                self._changes.told_absent(path)
                raise MissingError(self._changes.valid_ms(path)) from e

    def _getattr(self, fields: Fields, _: bool) -> bytes:
        handle, path = fields.number(U64), fields.text()
        if self._handles.has(handle):
            with self._places.open_file(handle) as fd:
                return self._places.of_open(fd)
        return self._places.attributes(path).packed()

    def _setattr(self, fields: Fields, _: bool) -> bytes:
        handle, path = fields.number(U64), fields.text()
        wanted = setting.Setting.of(fields)
        if self._handles.has(handle):
            with self._places.open_file(handle) as fd:
                wanted.apply_to_open(fd)
                return self._places.of_open(fd)
        with self._places.place(path) as (fd, name):
            try:
                wanted.apply(fd, name)
            finally:
                attributes = self._places.tell(path, fd, name)
            return attributes.packed()

    def _statfs(self, fields: Fields, _: bool) -> bytes:
        found = self._places.shares().find(fields.text())
        path = self._places.shares().any() if isinstance(found, Above) else found.share.path
        seen = os.statvfs(path)
        unit = seen.f_frsize or seen.f_bsize
        return _STATFS.pack(
            seen.f_blocks, seen.f_bfree, seen.f_bavail, seen.f_files, seen.f_ffree, unit, seen.f_namemax
        )

    # Names -------------------------------------------------------------------------------------------------------

    def _readlink(self, fields: Fields, _: bool) -> bytes:
        with self._places.place(fields.text()) as (fd, name):
            return os.readlink(name, dir_fd=fd)

    def _made(self, path: bytes, make: Callable[[int, bytes], None], *, is_repeated: bool) -> bytes:
        """Make something, and return its attributes. What an earlier connection's request has made is no error."""
        with self._places.place(path) as (fd, name):
            if name == hostfiles.HERE:
                raise OSError(errno.EEXIST, "the shared folder itself")
            try:
                make(fd, name)
            except FileExistsError:
                if not is_repeated:
                    raise
            return self._places.tell(path, fd, name).packed()

    def _symlink(self, fields: Fields, is_repeated: bool) -> bytes:
        path, target = fields.text(), fields.text()
        return self._made(path, lambda fd, name: os.symlink(target, name, dir_fd=fd), is_repeated=is_repeated)

    def _mknod(self, fields: Fields, is_repeated: bool) -> bytes:
        path, mode = fields.text(), fields.number(U32)
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFIFO, stat.S_IFSOCK):
            raise OSError(errno.EPERM, "no devices in shared folders")

        def make(fd: int, name: bytes) -> None:
            os.mknod(name, stat.S_IFMT(mode) | 0o600, dir_fd=fd)
            hostfiles.set_mode(fd, name, mode & setting.FILE_MODE)

        return self._made(path, make, is_repeated=is_repeated)

    def _mkdir(self, fields: Fields, is_repeated: bool) -> bytes:
        path, mode = fields.text(), fields.number(U32)

        def make(fd: int, name: bytes) -> None:
            os.mkdir(name, 0o700, dir_fd=fd)
            # This process' umask is not the client's, and a folder may have got the set-group-id bit of its parent.
            inherited = os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode & stat.S_ISGID
            hostfiles.set_mode(fd, name, mode & setting.FOLDER_MODE | inherited)

        attributes = self._made(path, make, is_repeated=is_repeated)
        return attributes + U32.pack(0 if is_repeated else self._places.tells_names_ms(path, is_new=True))

    def _removed(self, path: bytes, remove: Callable[[int, bytes], None], *, is_repeated: bool) -> bytes:
        with self._places.place(path) as (fd, name):
            if name == hostfiles.HERE:
                raise OSError(errno.EBUSY, "the shared folder itself")
            try:
                remove(fd, name)
            except FileNotFoundError:
                if not is_repeated:
                    raise
            self._changes.told_absent(path)
        return b""

    def _unlink(self, fields: Fields, is_repeated: bool) -> bytes:
        return self._removed(fields.text(), lambda fd, name: os.unlink(name, dir_fd=fd), is_repeated=is_repeated)

    def _rmdir(self, fields: Fields, is_repeated: bool) -> bytes:
        return self._removed(fields.text(), lambda fd, name: os.rmdir(name, dir_fd=fd), is_repeated=is_repeated)

    def _rename(self, fields: Fields, is_repeated: bool) -> bytes:
        old_path, new_path, flags = fields.text(), fields.text(), fields.number(U32)
        with self._places.place(old_path) as (old_fd, old), self._places.place(new_path) as (new_fd, new):
            if hostfiles.HERE in (old, new):
                raise OSError(errno.EBUSY, "the shared folder itself")
            try:
                hostfiles.rename(old_fd, old, new_fd, new, flags)
            except FileNotFoundError:
                if not is_repeated:
                    raise
            self._changes.moved(old_path, new_path, is_exchange=bool(flags & RenameFlag.EXCHANGE))
            self._places.tell(new_path, new_fd, new)
            if flags & RenameFlag.EXCHANGE:
                self._places.tell(old_path, old_fd, old)
        return b""

    def _link(self, fields: Fields, is_repeated: bool) -> bytes:
        source, path = fields.text(), fields.text()

        def make(fd: int, name: bytes) -> None:
            with self._places.place(source) as (old_fd, old):
                os.link(old, name, src_dir_fd=old_fd, dst_dir_fd=fd, follow_symlinks=False)

        return self._made(path, make, is_repeated=is_repeated)

    # Open files --------------------------------------------------------------------------------------------------

    def _open(self, fields: Fields, is_repeated: bool) -> bytes:
        handle, path = fields.number(U64), fields.text()
        flags, dev, ino = fields.take(OPEN)
        with self._places.place(path) as (fd, name):
            opened = hostfiles.open_file(fd, name, _access(flags))
            with _closed_on_error(opened):
                seen = os.fstat(opened)
                if ino and (seen.st_dev, seen.st_ino) != (dev, ino):
                    raise OSError(errno.ESTALE, "another file has this name now")
                if flags & OpenFlag.TRUNCATE and not is_repeated:
                    os.ftruncate(opened, 0)
                reply = self._places.told_of_opened(path, opened)
                if flags & OpenFlag.CONTENT:
                    reply += hostfiles.small_content(opened, CONTENT_LIMIT)
        self._handles.add(handle, opened)
        return reply

    def _create(self, fields: Fields, is_repeated: bool) -> bytes:
        handle, path = fields.number(U64), fields.text()
        flags, mode = fields.take(_CREATE)
        with self._places.place(path) as (fd, name):
            is_new = True
            try:
                opened = hostfiles.open_file(fd, name, _access(flags) | os.O_CREAT | os.O_EXCL, 0o600)
            except FileExistsError:
                if flags & OpenFlag.EXCLUSIVE and not is_repeated:
                    raise
                opened, is_new = hostfiles.open_file(fd, name, _access(flags)), False
            with _closed_on_error(opened):
                if is_new:
                    os.fchmod(opened, mode & setting.FILE_MODE)
                elif flags & OpenFlag.TRUNCATE and not is_repeated:
                    os.ftruncate(opened, 0)
                attributes = self._places.told_of_opened(path, opened)
        self._handles.add(handle, opened)
        return attributes

    def _read(self, fields: Fields, _: bool) -> bytes:
        handle, offset, size = fields.take(READ)
        with self._handles.use(handle) as fd:
            return os.pread(fd, min(size, READ_LIMIT), offset)

    def _write(self, fields: Fields, is_repeated: bool) -> bytes:
        handle, offset, flags = fields.take(_WRITE)
        data = memoryview(fields.rest())
        written = 0
        with self._places.open_file(handle) as fd:
            if flags & WriteFlag.APPEND and not is_repeated:
                # Where the file ends now: the client's idea of it may be old. A repeated write goes where that was.
                offset = os.fstat(fd).st_size
            while written < len(data):
                try:
                    written += os.pwrite(fd, data[written:], offset + written)
                except OSError:
                    if not written:
                        raise
                    break
            return U32.pack(written) + bytes(4) + self._places.of_open(fd)

    def end(self) -> None:
        """The session is over: nothing is watched any more."""
        self._changes.close()

    def close_at_once(self, body: bytes) -> bool:
        """CLOSE, which has no reply, if it waits for no disk; False: it is one for `close`. Raises WireError."""
        return self._quick.close(Fields(body).number(U64))

    def close(self, body: bytes) -> None:
        """CLOSE of a body that `close_at_once` has read."""
        self._handles.close(Fields(body).number(U64))

    def _fsync(self, fields: Fields, _: bool) -> bytes:
        handle, path, is_data = fields.number(U64), fields.text(), fields.number(U32)
        if self._handles.has(handle):
            with self._handles.use(handle) as fd:
                (getattr(os, "fdatasync", os.fsync) if is_data else os.fsync)(fd)
            return b""
        with self._places.place(path) as (fd, name):
            opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=fd)
            try:
                os.fsync(opened)
            finally:
                os.close(opened)
        return b""

    def _fallocate(self, fields: Fields, _: bool) -> bytes:
        handle, mode, offset, length = fields.take(_FALLOCATE)
        if mode or not hasattr(os, "posix_fallocate"):
            raise OSError(errno.EOPNOTSUPP, "no such mode of fallocate")
        with self._places.open_file(handle) as fd:
            os.posix_fallocate(fd, offset, length)
            return self._places.of_open(fd)

    def _seek(self, fields: Fields, _: bool) -> bytes:
        handle, offset, whence = fields.take(READ)
        if whence not in (3, 4):  # Linux' SEEK_DATA and SEEK_HOLE
            raise OSError(errno.EINVAL, "no such whence")
        with self._handles.use(handle) as fd:
            return U64.pack(os.lseek(fd, offset, os.SEEK_DATA if whence == 3 else os.SEEK_HOLE))

    # Folders -----------------------------------------------------------------------------------------------------

    def _list(self, fields: Fields, _: bool) -> bytes:
        handle, path = fields.number(U64), fields.text()
        first, limit = fields.take(_LIST)
        found = self._places.shares().find(path)
        if isinstance(found, Above):
            prefix = path + b"/" if path else b""
            parts = [above_attributes((*found.parts, name)) for name in found.names]
            parts = [self._attributes_or(prefix + name, plain) for name, plain in zip(found.names, parts, strict=True)]
            entries = [each.entry(name) for name, each in zip(found.names, parts, strict=True)]
            return U32.pack(1) + bytes(4) + b"".join(entries[first:])
        tells_ms = 0 if first else self._places.tells_names_ms(path)
        with self._changes.about(path), hostfiles.folder(found.share.path, found.parts) as fd:
            return self._entries(handle, path, fd, first, min(limit, LIST_LIMIT), tells_ms)

    def _attributes_or(self, path: bytes, otherwise: Attributes) -> Attributes:
        try:
            return self._places.attributes(path)
        except OSError:  # a shared folder that is missing is listed, so that its name can be seen
            return otherwise

    def _entries(self, handle: int, path: bytes, fd: int, first: int, limit: int, tells_ms: int) -> bytes:
        names = self._handles.listing(handle) if first else None
        if names is None:
            names = hostfiles.names(fd, hostfiles.HERE)
            self._handles.keep_listing(handle, names)
        body, size, index = [b""], 0, first
        while index < len(names) and size < limit:
            entry = self._entry(path, fd, names[index])
            body.append(entry)
            size += len(entry)
            index += 1
        return U32.pack(index >= len(names)) + U32.pack(tells_ms) + b"".join(body)

    def _entry(self, path: bytes, fd: int, name: bytes) -> bytes:
        try:
            return self._places.tell(path + b"/" + name, fd, name).entry(name)
        except OSError:  # it has gone, or can't be looked at: its name is listed, without an inode
            return _NAMELESS.entry(name)

    # Extended attributes -----------------------------------------------------------------------------------------

    def _getxattr(self, fields: Fields, _: bool) -> bytes:
        path, attribute = fields.text(), _visible(fields.text())
        with self._places.place(path) as (fd, name):
            return xattrs.get(fd, name, attribute)

    def _setxattr(self, fields: Fields, _: bool) -> bytes:
        path, attribute = fields.text(), _visible(fields.text())
        flags, value = fields.number(U32), fields.rest()
        with self._places.place(path) as (fd, name):
            xattrs.put(fd, name, attribute, value, flags)
            self._places.tell(path, fd, name)
        return b""

    def _listxattr(self, fields: Fields, _: bool) -> bytes:
        with self._places.place(fields.text()) as (fd, name):
            names = xattrs.names(fd, name)
        shown = [each for each in names if each.startswith(b"user.") and not each.startswith(hostfiles.HIDDEN)]
        return b"".join(each + b"\0" for each in shown)

    def _removexattr(self, fields: Fields, _: bool) -> bytes:
        path, attribute = fields.text(), _visible(fields.text())
        with self._places.place(path) as (fd, name):
            xattrs.remove(fd, name, attribute)
            self._places.tell(path, fd, name)
        return b""


@contextlib.contextmanager
def _closed_on_error(fd: int) -> Iterator[None]:
    try:
        yield
    except BaseException:
        os.close(fd)
        raise


def _access(flags: int) -> int:
    if flags & OpenFlag.READ_WRITE:
        return os.O_RDWR
    return os.O_WRONLY if flags & OpenFlag.WRITE else os.O_RDONLY


def _visible(name: bytes) -> bytes:
    if name.startswith(hostfiles.HIDDEN):
        raise OSError(errno.EOPNOTSUPP, "Cove's own attribute")
    if not name.startswith(b"user."):
        raise OSError(errno.EOPNOTSUPP, "not an attribute for the host")
    return name


_NAMELESS = Attributes(0, 0, 0, 0, 0, 0, 0, 0, stat.S_IFREG, 0, NOBODY, NOBODY, 0, 0)
