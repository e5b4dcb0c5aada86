"""What a worker writes to a socket that takes little at a time."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.limits import HANG_S
from vmagent.images.faults import ImageFault
from vmagent.images.outlet import Outlet

LARGE = bytes(range(256)) * 8192
PIECES = [b"head", os.urandom(100_000), b"", b"tail"]


@contextlib.contextmanager
def reader(read: Callable[[socket.socket], None]) -> Iterator[int]:
    """The non-blocking end of a socket pair with small buffers, which `read` reads in a thread until the exit."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(HANG_S)
        theirs.setblocking(False)
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        thread = threading.Thread(target=read, args=[ours])
        thread.start()
        try:
            yield theirs.fileno()
        finally:
            theirs.close()
            thread.join()


def unchunked(data: bytes) -> bytes:
    """The content of chunks that end with the data, RFC 9112, section 7.1."""
    found = b""
    while data:
        size, _, rest = data.partition(b"\r\n")
        count = int(size, 16)
        assert count, "a last chunk is not the outlet's"
        found, end, data = found + rest[:count], rest[count : count + 2], rest[count + 2 :]
        assert end == b"\r\n", end
    return found


@pytest.mark.parametrize("chunked", [False, True])
def test_a_reader_that_is_slow_gets_all_in_order(tmp_path: Path, chunked: bool) -> None:
    got: list[bytes] = []

    def read(sock: socket.socket) -> None:
        while data := sock.recv(70_000):
            got.append(data)

    file, empty = tmp_path / "file", tmp_path / "empty"
    file.write_bytes(LARGE)
    empty.touch()
    with reader(read) as fd, file.open("rb") as large, empty.open("rb") as none:
        outlet = Outlet(fd, chunked=chunked)
        for piece in PIECES:
            outlet.write(piece)
        outlet.file(large.fileno(), len(LARGE) - 1)
        outlet.file(none.fileno(), 0)
        outlet.write(b"end")
        outlet.flush()
    data = b"".join(got)
    assert (unchunked(data) if chunked else data) == b"".join([*PIECES, LARGE[:-1], b"end"])


def test_a_file_that_has_become_shorter_is_a_fault(tmp_path: Path) -> None:
    def read(sock: socket.socket) -> None:
        while sock.recv(70_000):
            pass

    file = tmp_path / "file"
    file.write_bytes(LARGE)
    with (
        reader(read) as fd,
        file.open("rb") as large,
        pytest.raises(ImageFault, match=f"{len(LARGE)} bytes instead of {len(LARGE) + 1}"),
    ):
        Outlet(fd, chunked=True).file(large.fileno(), len(LARGE) + 1)


def test_a_reader_that_goes_is_told_of_as_such(tmp_path: Path) -> None:
    def read(sock: socket.socket) -> None:
        sock.recv(10_000)
        sock.close()

    file = tmp_path / "file"
    file.write_bytes(LARGE)
    with (
        reader(read) as fd,
        file.open("rb") as large,
        pytest.raises((BrokenPipeError, ConnectionResetError)),
    ):
        Outlet(fd, chunked=True).file(large.fileno(), len(LARGE))
