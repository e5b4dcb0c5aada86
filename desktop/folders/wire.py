"""The protocol of shared folders; vmagent/native/folders/wire.h describes its bytes."""

from __future__ import annotations

import errno
import stat
import struct
from dataclasses import dataclass
from enum import IntEnum, IntFlag

PROTOCOL = 1
SESSION_SIZE = 16
FRAME_LIMIT = 2 << 20
CONTENT_LIMIT = 16384  # bytes of a file that the reply to OPEN may bring
HEAD = struct.Struct("<IQBB2x")  # length of the rest, number, operation, flags
_REPLY = struct.Struct("<IQi")  # length of the rest, number, error
_ATTRIBUTES = struct.Struct("<5Q3q6I")
ATTRIBUTES_SIZE = _ATTRIBUTES.size
_ENTRY = struct.Struct("<5Q3q6IH")
REPEATED = 1
NOBODY = 0xFFFFFFFF  # as uid or gid: nobody was named, it is whoever looks


class Operation(IntEnum):
    HELLO = 1
    LOOKUP = 2
    GETATTR = 3
    SETATTR = 4
    READLINK = 5
    SYMLINK = 6
    MKNOD = 7
    MKDIR = 8
    UNLINK = 9
    RMDIR = 10
    RENAME = 11
    LINK = 12
    OPEN = 13
    CREATE = 14
    READ = 15
    WRITE = 16
    CLOSE = 17
    FSYNC = 18
    LIST = 19
    STATFS = 20
    GETXATTR = 21
    SETXATTR = 22
    LISTXATTR = 23
    REMOVEXATTR = 24
    FALLOCATE = 25
    SEEK = 26


class Which(IntFlag):
    """What SETATTR sets."""

    MODE = 1
    UID = 2
    GID = 4
    SIZE = 8
    ATIME = 16
    MTIME = 32
    ATIME_NOW = 64
    MTIME_NOW = 128


class OpenFlag(IntFlag):
    WRITE = 1
    READ_WRITE = 2
    TRUNCATE = 4
    EXCLUSIVE = 8
    CONTENT = 16


class WriteFlag(IntFlag):
    APPEND = 1


class RenameFlag(IntFlag):
    """Linux' renameat2(2)."""

    NO_REPLACE = 1
    EXCHANGE = 2


@dataclass(frozen=True, slots=True)
class Attributes:
    """One file. Times in ns since 1970; `blocks` of 512 bytes; `valid_ms`: how long the client may keep this."""

    ino: int
    dev: int
    birth: int
    size: int
    blocks: int
    atime: int
    mtime: int
    ctime: int
    mode: int
    nlink: int
    uid: int
    gid: int
    rdev: int
    valid_ms: int

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def is_regular(self) -> bool:
        return stat.S_ISREG(self.mode)

    def packed(self) -> bytes:
        return _ATTRIBUTES.pack(*self._fields())

    def entry(self, name: bytes) -> bytes:
        """An entry of LIST."""
        return _ENTRY.pack(*self._fields(), len(name)) + name

    def _fields(self) -> tuple[int, ...]:
        return (
            self.ino,
            self.dev,
            self.birth,
            self.size,
            self.blocks,
            self.atime,
            self.mtime,
            self.ctime,
            self.mode,
            self.nlink,
            self.uid,
            self.gid,
            self.rdev,
            self.valid_ms,
        )


class MissingError(FileNotFoundError):
    """Nothing has that name, which the client may keep in mind for `valid_ms`."""

    def __init__(self, valid_ms: int) -> None:
        super().__init__(errno.ENOENT, "nothing has that name")
        self.valid_ms = valid_ms


class WireError(Exception):
    """The bytes are not of this protocol."""


@dataclass(frozen=True, slots=True)
class Request:
    number: int
    operation: int
    is_repeated: bool
    body: bytes


def take_request(buffer: bytearray) -> Request | None:
    """Take one whole request off the front of `buffer`; None: more bytes are needed. Raises WireError."""
    if len(buffer) < HEAD.size:
        return None
    length, number, operation, flags = HEAD.unpack_from(buffer)
    if not HEAD.size - 4 <= length <= FRAME_LIMIT:
        raise WireError(f"a request of {length} bytes")
    if len(buffer) < 4 + length:
        return None
    body = bytes(memoryview(buffer)[HEAD.size : 4 + length])
    del buffer[: 4 + length]
    return Request(number, operation, bool(flags & REPEATED), body)


def reply(number: int, error: int, body: bytes = b"") -> bytes:
    """The frame of a reply; `error` is 0 or Linux' number."""
    return _REPLY.pack(_REPLY.size - 4 + len(body), number, error) + body


# A notice's kind: something on the host has changed a name.
CHANGED = 1


def notice(kind: int, body: bytes) -> bytes:
    """The frame of a notice."""
    return reply(0, kind, body)


def string(text: bytes) -> bytes:
    return U16.pack(len(text)) + text


class Fields:
    """Reads a body from its front. Each method raises WireError where the body is too short."""

    def __init__(self, body: bytes) -> None:
        self._body, self._at = body, 0

    def take(self, form: struct.Struct) -> tuple[int, ...]:
        try:
            values = form.unpack_from(self._body, self._at)
        except struct.error as e:
            raise WireError(str(e)) from e
        self._at += form.size
        return values

    def number(self, form: struct.Struct) -> int:
        return self.take(form)[0]

    def text(self) -> bytes:
        """A string."""
        length = self.number(U16)
        text = self._body[self._at : self._at + length]
        if len(text) < length:
            raise WireError("a string that is cut")
        self._at += length
        return text

    def rest(self) -> bytes:
        rest = self._body[self._at :]
        self._at = len(self._body)
        return rest


U16, U32, U64 = struct.Struct("<H"), struct.Struct("<I"), struct.Struct("<Q")

# Parts of bodies that two modules read.
OPEN = struct.Struct("<IQQ")
READ = struct.Struct("<QQI")

# Linux' numbers (asm-generic/errno.h) of the errors that file systems know.
_LINUX = {
    "EPERM": 1, "ENOENT": 2, "EINTR": 4, "EIO": 5, "ENXIO": 6, "E2BIG": 7, "EBADF": 9, "EAGAIN": 11, "ENOMEM": 12,
    "EACCES": 13, "EBUSY": 16, "EEXIST": 17, "EXDEV": 18, "ENODEV": 19, "ENOTDIR": 20, "EISDIR": 21, "EINVAL": 22,
    "ENFILE": 23, "EMFILE": 24, "ENOTTY": 25, "ETXTBSY": 26, "EFBIG": 27, "ENOSPC": 28, "ESPIPE": 29, "EROFS": 30,
    "EMLINK": 31, "EPIPE": 32, "ERANGE": 34, "ENAMETOOLONG": 36, "ENOSYS": 38, "ENOTEMPTY": 39, "ELOOP": 40,
    "ENODATA": 61, "ENOATTR": 61, "EOVERFLOW": 75, "EOPNOTSUPP": 95, "ENOTSUP": 95, "ESTALE": 116, "EDQUOT": 122,
}  # fmt: skip
EIO = _LINUX["EIO"]


def linux_error(error: OSError) -> int:
    """Linux' number for an error of this machine."""
    return _LINUX.get(errno.errorcode.get(error.errno or 0, ""), EIO)
