"""The client's HTTP against peers that do not do as they should: they close early, or reply something else."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from desktop.client.api import ApiClient, ApiError
from desktop.client.http import Endpoint
from tests.support.limits import HANG_S

REFUSAL = b"HTTP/1.1 409 Conflict\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"
LARGE = bytes(4 << 20)  # more than a socket holds


@contextlib.contextmanager
def peer(folder: Path, talk: Callable[[socket.socket], None]) -> Iterator[ApiClient]:
    """A client of a peer that does `talk` with its first connection, and then closes it."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "s"))
        listener.listen()

        def serve() -> None:
            connection = listener.accept()[0]
            with connection:
                talk(connection)

        serving = threading.Thread(target=serve, daemon=True)
        serving.start()
        with ApiClient(Endpoint("unix", str(folder / "s")), timeout_s=HANG_S) as client:
            yield client
        serving.join(HANG_S)
        assert not serving.is_alive()


def in_time(call: Callable[[], object]) -> BaseException | None:
    """What `call` raises. It runs in a thread: it may hang."""
    found: list[BaseException | None] = []

    def run() -> None:
        try:
            call()
            found.append(None)
        except BaseException as e:  # noqa: BLE001  # it is what is looked at
            found.append(e)

    running = threading.Thread(target=run, daemon=True)
    running.start()
    running.join(HANG_S)
    assert found, "it hangs"
    return found[0]


def _read_all(connection: socket.socket) -> None:
    while connection.recv(1 << 16):
        pass


def _refuse(connection: socket.socket) -> None:
    connection.recv(100)
    connection.sendall(REFUSAL)


def _pieces() -> Iterator[bytes]:
    while True:
        yield LARGE


@pytest.mark.parametrize("body", [LARGE, _pieces()], ids=["one piece", "pieces"])
def test_a_refusal_is_read_though_the_body_was_not_taken(tmp_path: Path, body: bytes | Iterator[bytes]) -> None:
    with peer(tmp_path, _refuse) as client:
        error = in_time(lambda: client.call("PUT", "/archive", data=body))
    assert isinstance(error, ApiError)
    assert (error.status, str(error)) == (409, "no")


def test_a_body_that_cannot_be_made_is_an_error_and_no_reply_is_waited_for(tmp_path: Path) -> None:
    def body() -> Iterator[bytes]:
        yield b"one"
        raise FileNotFoundError("gone")

    with peer(tmp_path, _read_all) as client:
        error = in_time(lambda: client.call("POST", "/build", data=body()))
    assert isinstance(error, FileNotFoundError)


def test_another_protocol_that_nobody_asked_for_ends_with_the_connection(tmp_path: Path) -> None:
    def talk(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        connection.sendall(b"HTTP/1.1 101 UPGRADED\r\nUpgrade: tcp\r\n\r\nabc")

    with peer(tmp_path, talk) as client:
        assert in_time(lambda: client.request("GET", "/info")) is None
