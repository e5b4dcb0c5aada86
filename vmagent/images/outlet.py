"""Where a worker writes an archive: a pipe to the engine, or the socket of the client that asked for it.

On a client's socket the archive is the body of a reply, in chunks where HTTP/1.1 wants them (RFC 9112, section 7.1).
A file goes there by sendfile(2) as one chunk: its bytes enter neither this process nor the engine.
"""

from __future__ import annotations

import os
import select

from vmagent.images.faults import ImageFault

_GATHERED = 64 << 10  # bytes of small pieces before they are written
_MOST_AT_ONCE = 1 << 30  # sendfile(2) takes no more than 2 GiB


class Outlet:
    """Writes to `fd`, which may be non-blocking. Raises OSError, for a reader that has gone BrokenPipeError or
    ConnectionResetError."""

    def __init__(self, fd: int, *, chunked: bool) -> None:
        """`chunked`: as chunks of a reply's body; the last one, which ends the body, is left to the caller."""
        self._fd = fd
        self._chunked = chunked
        self._gathered: list[bytes] = []
        self._size = 0  # bytes gathered
        self._writable = select.poll()
        self._writable.register(fd, select.POLLOUT)

    def write(self, data: bytes) -> None:
        """Write `data`, at the latest with `flush`."""
        self._gathered.append(data)
        self._size += len(data)
        if self._size >= _GATHERED:
            self.flush()

    def flush(self) -> None:
        """Write what was gathered."""
        if not self._size:
            return
        data = b"".join(self._gathered)
        self._gathered.clear()
        self._size = 0
        self._write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    def file(self, fd: int, size: int) -> None:
        """Write the first `size` bytes of a file. Raises ImageFault if it has fewer."""
        self.flush()
        if self._chunked and size:
            self._write(b"%x\r\n" % size)
        sent = 0
        while sent < size:
            try:
                count = os.sendfile(self._fd, fd, sent, min(size - sent, _MOST_AT_ONCE))
            except BlockingIOError:
                self._writable.poll()
                continue
            if not count:
                raise ImageFault(f"a file of the store has {sent} bytes instead of {size}")
            sent += count
        if self._chunked and size:
            self._write(b"\r\n")

    def _write(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(self._fd, left) :]
            except BlockingIOError:
                self._writable.poll()
