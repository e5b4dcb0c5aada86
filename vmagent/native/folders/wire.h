/* The protocol between the guest's FUSE client and the file server in the host agent (desktop/folders/wire.py), over one
 * stream of the tunnel. Numbers are little-endian.
 *
 *   frame    length of the rest (u32), the rest
 *   request  number (u64, counted from 1), operation (u8), flags (u8), 2 zero bytes, body
 *   reply    the request's number, error (i32, 0 or one of Linux' error numbers), body
 *   notice   number 0, kind (i32), body: sent by the host on its own
 *   string   length (u16), bytes
 *   path     a string: from the root of all shared folders, without a slash at its head; "" is the root
 *   handle   a number (u64) that the client chooses, 0: none
 *
 * A reply of ENOENT to LOOKUP has as its body how long that may be kept (ms, u32).
 *
 * The first request of a connection is HELLO. The session outlives a connection: its open files are there again when
 * its client comes back. A request that may have been carried out on an earlier connection has the flag REPEATED: what
 * it would find done already is then no error. */
#ifndef WIRE_H
#define WIRE_H
#include <stdint.h>

#define PROTOCOL 1
#define SESSION_SIZE 16
#define FRAME_LIMIT (2u << 20)
#define REPEATED 1

enum operation {
    HELLO = 1,   /* version (u32), session (16 bytes) -> version (u32), whether the session is known (u32) */
    LOOKUP,      /* path -> attributes */
    GETATTR,     /* handle, path -> attributes */
    SETATTR,     /* handle, path, which (u32), mode, uid, gid (u32), size (u64), atime, mtime (i64) -> attributes */
    READLINK,    /* path -> bytes */
    SYMLINK,     /* path, target (string) -> attributes */
    MKNOD,       /* path, mode (u32) -> attributes */
    MKDIR,       /* path, mode (u32) -> attributes, how long the host tells of each new name in it (ms, u32, 0: not) */
    UNLINK,      /* path -> */
    RMDIR,       /* path -> */
    RENAME,      /* path, new path, flags of renameat2 (u32) -> */
    LINK,        /* path, new path -> attributes */
    OPEN,        /* handle, path, flags (u32), expected device and inode (u64 each, 0: any)
                  *     -> attributes, and if asked all bytes of a file of at most CONTENT_LIMIT */
    CREATE,      /* handle, path, flags (u32), mode (u32) -> attributes */
    READ,        /* handle, offset (u64), size (u32) -> bytes */
    WRITE,       /* handle, offset (u64), flags (u32), bytes -> count (u32), 4 zero bytes, attributes */
    CLOSE,       /* handle; no reply */
    FSYNC,       /* handle, path, whether only data (u32) -> */
    LIST,        /* handle, path, first (u64), limit in bytes (u32)
                  *     -> whether these are the last (u32), how long the host tells of each new name (as MKDIR),
                  *        entries: attributes, name (string) */
    STATFS,      /* path -> blocks, free, available, files, free files, block size, name length (u64 each) */
    GETXATTR,    /* path, name (string) -> bytes */
    SETXATTR,    /* path, name (string), flags (u32), bytes -> */
    LISTXATTR,   /* path -> names, each with a zero byte behind */
    REMOVEXATTR, /* path, name (string) -> */
    FALLOCATE,   /* handle, mode (u32), offset, length (u64 each) -> attributes */
    SEEK,        /* handle, offset (u64), SEEK_DATA or SEEK_HOLE (u32) -> offset (u64) */
};

enum which { SET_MODE = 1, SET_UID = 2, SET_GID = 4, SET_SIZE = 8, SET_ATIME = 16, SET_MTIME = 32, ATIME_NOW = 64,
             MTIME_NOW = 128 };
enum open_flags { OPEN_WRITE = 1, OPEN_READ_WRITE = 2, OPEN_TRUNCATE = 4, OPEN_EXCLUSIVE = 8,
                  OPEN_CONTENT = 16 };
#define CONTENT_LIMIT 16384u
enum write_flags { WRITE_APPEND = 1 };

/* A notice: something on the host has changed a name: folder (string), name (string), what (u32), whether it is or was a
 * folder (u32), attributes (zero: it is not there any more). */
#define CHANGED 1
enum change { CHANGE_CREATED = 1, CHANGE_DELETED = 2, CHANGE_MODIFIED = 4, CHANGE_ATTRIB = 8, CHANGE_CLOSED = 16 };

#define NOBODY UINT32_MAX /* as uid or gid: nobody was named, it is whoever looks */

struct attributes {
    uint64_t ino, dev, birth, size, blocks;
    int64_t atime, mtime, ctime; /* ns */
    uint32_t mode, nlink, uid, gid, rdev;
    uint32_t valid_ms; /* how long they may be cached */
};

#endif
