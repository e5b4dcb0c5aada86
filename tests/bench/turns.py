"""How long a server takes of what its client waits for: a relay between the two that writes down whose turn it was.

A client's seconds contain its own start, its reading of the context, and its end. The relay sees each byte of both
directions. The time before a byte counts for the side that sent it: before a byte of the server it was the server's
turn, before one of the client the client's. Of two that work at the same time, the one that sends next gets the time.
"""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_BLOCK = 256 << 10


@dataclass(slots=True)
class Turns:
    """The seconds since `begin` in which it was the server's turn."""

    server_s: float = 0.0
    _last: float | None = field(default=None, repr=False)

    def begin(self) -> None:
        self.server_s = 0.0
        self._last = None

    def sent(self, *, by_server: bool) -> None:
        """A byte has arrived."""
        now = time.perf_counter()
        if by_server and self._last is not None:
            self.server_s += now - self._last
        self._last = now


class _Relay:
    """Connections of a Unix socket, each passed on to another one; all in one thread."""

    def __init__(self, target: Path, own: Path) -> None:
        self.turns = Turns()
        self._target = target
        self._selector = selectors.DefaultSelector()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(own))
        self._listener.listen(64)
        self._wake, self._ours = socket.socketpair()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._others: dict[socket.socket, tuple[socket.socket, bool]] = {}  # by source: where to, is it the server's
        self._thread = threading.Thread(target=self._run, name="relay")
        self._thread.start()

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                source = key.fileobj
                assert isinstance(source, socket.socket)
                if source is self._wake:
                    return
                if source is self._listener:
                    self._accept()
                elif source in self._others:
                    self._pass_on(source)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        server = socket.socket(socket.AF_UNIX)
        server.connect(str(self._target))
        for source, target, is_server in ((client, server, False), (server, client, True)):
            self._others[source] = (target, is_server)
            self._selector.register(source, selectors.EVENT_READ)

    def _pass_on(self, source: socket.socket) -> None:
        target, is_server = self._others[source]
        try:
            block = source.recv(_BLOCK)
            if block:
                self.turns.sent(by_server=is_server)
                target.sendall(block)
                return
            self._selector.unregister(source)
            del self._others[source]
            target.shutdown(socket.SHUT_WR)
        except OSError:
            self._drop(source)
            self._drop(target)
            return
        if target not in self._others:
            source.close()
            target.close()

    def _drop(self, sock: socket.socket) -> None:
        if self._others.pop(sock, None) is not None:
            self._selector.unregister(sock)
        sock.close()

    def close(self) -> None:
        self._ours.send(b"x")
        self._thread.join()
        for sock in (*self._others, self._listener, self._wake, self._ours):
            sock.close()
        self._selector.close()


@contextmanager
def watched(host: str, own: Path) -> Iterator[tuple[str, Turns]]:
    """(the address to use instead of the server's `unix://…` address, what is seen there)."""
    relay = _Relay(Path(host.removeprefix("unix://")), own)
    try:
        yield f"unix://{own}", relay.turns
    finally:
        relay.close()
