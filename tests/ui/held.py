"""A registry that keeps its clients waiting, so that something happens to them meanwhile."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from tests.support.limits import HANG_S


class Held(NamedTuple):
    """`asked`: somebody has connected; `go_on.set()` lets all connections pass."""

    address: str
    asked: threading.Event
    go_on: threading.Event


@contextmanager
def held(address: str) -> Iterator[Held]:
    """Another address of the registry at `address`, where connections wait until they may go on."""
    asked, go_on, ends = threading.Event(), threading.Event(), list[socket.socket]()
    listener = socket.create_server(("127.0.0.1", 0))

    def copy(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while go_on.wait(HANG_S) and (data := source.recv(1 << 16)):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def accept() -> None:
        threads: list[threading.Thread] = []
        with suppress(OSError):
            while True:
                near = listener.accept()[0]
                asked.set()
                host, _, port = address.rpartition(":")
                far = socket.create_connection((host, int(port)))
                ends.extend((near, far))
                threads += [threading.Thread(target=copy, args=pair) for pair in ((near, far), (far, near))]
                for thread in threads[-2:]:
                    thread.start()
        for thread in threads:
            thread.join()

    accepting = threading.Thread(target=accept, name="held registry")
    accepting.start()
    try:
        yield Held(f"127.0.0.1:{listener.getsockname()[1]}", asked, go_on)
    finally:
        go_on.set()
        for end in (listener, *ends):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        accepting.join()
        for end in (listener, *ends):
            end.close()
