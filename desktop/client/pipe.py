"""A Windows named pipe with the methods of a socket that `http.Connection` uses.

Reads and writes are overlapped (CreateFileW with FILE_FLAG_OVERLAPPED), because one thread reads while another writes:
a plain handle would let the second wait for the first. Named pipes have no half-close. Without effect elsewhere:
`connect` is only called on Windows.
"""

from __future__ import annotations

import sys

if sys.platform == "win32":
    import _winapi
    import time

    _SLICE_MS = 100  # the longest time until a reader notices `close` from another thread
    _ERROR_IO_PENDING = 997
    _ERROR_MORE_DATA = 234
    _ERROR_OPERATION_ABORTED = 995
    _ERROR_BROKEN_PIPE = 109
    _WAIT_TIMEOUT = 258

    class PipeSocket:
        """One client end. Raises OSError as a socket does; `recv` gives b"" once the server has closed its end."""

        def __init__(self, path: str, timeout_s: float | None) -> None:
            self._timeout_s = timeout_s
            self._closed = False
            deadline = time.monotonic() + (timeout_s if timeout_s is not None else 10)
            while True:
                try:
                    self._handle = _winapi.CreateFile(
                        path,
                        _winapi.GENERIC_READ | _winapi.GENERIC_WRITE,
                        0,
                        0,
                        _winapi.OPEN_EXISTING,
                        _winapi.FILE_FLAG_OVERLAPPED,
                        0,
                    )
                    return
                except OSError as e:
                    if e.winerror != _winapi.ERROR_PIPE_BUSY or time.monotonic() > deadline:
                        raise
                _winapi.WaitNamedPipe(path, 1000)

        def settimeout(self, timeout_s: float | None) -> None:
            self._timeout_s = timeout_s

        def fileno(self) -> int:
            return -1

        def recv(self, size: int) -> bytes:
            try:
                overlapped, error = _winapi.ReadFile(self._handle, size, overlapped=True)
                self._finish(overlapped, error)
            except BrokenPipeError:
                return b""
            return overlapped.getbuffer() or b""

        def sendall(self, data: bytes) -> None:
            view = memoryview(data)
            while view:
                overlapped, error = _winapi.WriteFile(self._handle, bytes(view[:65536]), overlapped=True)
                view = view[self._finish(overlapped, error) :]

        def _finish(self, overlapped: _winapi.Overlapped, error: int) -> int:
            """Wait for a pending operation; returns the number of bytes transferred. Raises TimeoutError, OSError."""
            waited_ms = 0
            limit_ms = None if self._timeout_s is None else self._timeout_s * 1000
            while error == _ERROR_IO_PENDING:
                if _winapi.WaitForMultipleObjects([overlapped.event], False, _SLICE_MS) != _WAIT_TIMEOUT:
                    break
                waited_ms += _SLICE_MS
                if self._closed:
                    overlapped.cancel()
                elif limit_ms is not None and waited_ms >= limit_ms:
                    overlapped.cancel()
                    overlapped.GetOverlappedResult(True)
                    raise TimeoutError("timed out")
            moved, error = overlapped.GetOverlappedResult(True)
            if error == _ERROR_OPERATION_ABORTED:
                raise BrokenPipeError("closed")
            return moved

        def shutdown(self, how: int) -> None:
            """A named pipe cannot be half-closed, so only SHUT_RDWR has an effect: it wakes a reader."""
            if how == 2:  # SHUT_RDWR
                self._closed = True

        def close(self) -> None:
            handle, self._handle = self._handle, 0
            self._closed = True
            if handle:
                _winapi.CloseHandle(handle)

    def connect(path: str, timeout_s: float | None) -> PipeSocket:
        """Raises OSError."""
        return PipeSocket(path, timeout_s)

else:
    import socket

    def connect(path: str, timeout_s: float | None) -> socket.socket:
        """Raises OSError: there are no named pipes here."""
        raise OSError(f"{path}: named pipes need Windows")
