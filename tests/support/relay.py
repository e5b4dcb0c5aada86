"""A Unix socket in front of another one, whose connections a test can cut."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CHUNK = 1 << 16


class Relay(socketserver.ThreadingUnixStreamServer):
    """Passes on what comes. `path`: where it listens; `target`: where it connects to."""

    daemon_threads = False  # `server_close` joins them
    request_queue_size = 64

    def __init__(self, path: Path, target: Path) -> None:
        super().__init__(str(path), _Handler)
        self.path, self.target = path, target
        self._ends: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._is_over = False

    def end(self) -> None:
        """As `cut`, also for those that were taken and do not pass on yet."""
        self._is_over = True
        self.cut()

    def cut(self) -> None:
        """End all connections, as a lost peer does. New ones are taken."""
        with self._lock:
            for end in self._ends:
                with contextlib.suppress(OSError):  # it has ended already
                    end.shutdown(socket.SHUT_RDWR)

    def join(self, near: socket.socket, far: socket.socket) -> None:
        """Pass on between two ends until both directions have ended."""
        with self._lock:
            self._ends |= {near, far}
        if self._is_over:
            self.cut()
        back = threading.Thread(target=_pump, args=(far, near), name="relay")
        back.start()
        _pump(near, far)
        back.join()
        with self._lock:
            self._ends -= {near, far}


class _Handler(socketserver.BaseRequestHandler):
    server: Relay  # type: ignore[mutable-override]  # never assigned again

    def handle(self) -> None:
        with socket.socket(socket.AF_UNIX) as far:
            far.connect(str(self.server.target))
            self.server.join(self.request, far)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):  # either end is gone
        while data := source.recv(_CHUNK):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


@contextmanager
def relay(path: Path, target: Path) -> Iterator[Relay]:
    """Relay from `path` to `target`; all has ended afterwards."""
    with Relay(path, target) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.05,), name="relay")
        serving.start()
        try:
            yield server
        finally:
            server.shutdown()
            serving.join()
            server.end()
