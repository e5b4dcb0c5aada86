"""Blobs as far as they have been downloaded, so that a pull that was cut short goes on where it ended.

`downloads/<hex>` is written as the bytes arrive, and is not flushed. The next pull of the blob reads it again from its
beginning, through the same checks as bytes from the registry: garbage that a power cut has left is found there, and
the blob is fetched anew. A file is deleted once its image is in the store, by `docker image prune`, and after a week.

A lock (flock(2)) is held by the process that writes; a second pull of the blob meanwhile keeps nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from vmagent.images.layer import hex_of

KEPT_S = 7 * 86_400.0
_BLOCK = 256 << 10


class Download:
    """The file of one blob, locked. A context manager."""

    def __init__(self, path: Path, fd: int, size: int) -> None:
        self.path = path
        self._fd = fd
        self.size = size  # bytes that an earlier pull has left

    @classmethod
    def open(cls, folder: Path, digest: str, limit: int) -> Download | None:
        """None if another process writes it. A file of more than `limit` bytes is not used. Raises OSError."""
        path = folder / hex_of(digest)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        if not _lock(fd, path):
            os.close(fd)
            return None
        found = cls(path, fd, os.fstat(fd).st_size)
        if found.size > limit:
            found.discard()
        return found

    def __enter__(self) -> Download:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def blocks(self) -> Iterator[bytes]:
        """What an earlier pull has left. Raises OSError."""
        at = 0
        while at < self.size and (block := os.pread(self._fd, min(_BLOCK, self.size - at), at)):
            at += len(block)
            yield block

    def discard(self) -> None:
        """Begin anew, as the content was wrong. Raises OSError.

        With another file: a complete one may be linked into the store, from an engine that was killed at that moment.
        """
        self.path.unlink()
        os.close(self._fd)
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        _lock(self._fd, self.path)
        self.size = 0


def forget(folder: Path, digests: Iterable[str]) -> None:
    """Delete the files of blobs that are in the store now. Raises OSError."""
    for digest in digests:
        (folder / hex_of(digest)).unlink(missing_ok=True)


def sweep(folder: Path, *, older_than_s: float = 0.0) -> int:
    """Delete files that no process writes and that were last written `older_than_s` seconds ago; their bytes.

    Raises OSError.
    """
    now = time.time()
    freed = 0
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):  # its pull has ended meanwhile
            if now - path.stat().st_mtime < older_than_s:
                continue
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                if _lock(fd, path):
                    freed += os.fstat(fd).st_size
                    path.unlink()
            finally:
                os.close(fd)
    return freed


def _lock(fd: int, path: Path) -> bool:
    """Lock a file, unless another process holds it, or it is not at `path` any more."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except (BlockingIOError, FileNotFoundError):
        return False
