"""The API server on a unix socket, in a thread with its own loop, before an engine of plain processes."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import socket
import subprocess
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.api.fake_engine import FakeEngine
from tests.support.limits import HANG_S
from tests.support.tools import docker_cli
from vmagent.api.server import Server, serve

T = TypeVar("T")
LIMIT_S = HANG_S


class Running:
    """A server under test. `call` runs a coroutine on its loop."""

    def __init__(self, path: Path, engine: FakeEngine, loop: asyncio.AbstractEventLoop, server: Server) -> None:
        self.path, self.engine, self.loop, self.server = path, engine, loop, server

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(LIMIT_S)

    def connect(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(LIMIT_S)
        sock.connect(str(self.path))
        return sock

    def exchange(self, data: bytes) -> bytes:
        """Send `data` and read until the server closes."""
        with self.connect() as sock:
            sock.sendall(data)
            return read_all(sock)

    def docker(self, *args: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [docker_cli(), *args],
            input=stdin,
            stdin=None if stdin is not None else subprocess.DEVNULL,
            capture_output=True,
            timeout=LIMIT_S,
            check=False,
            env=os.environ | {"DOCKER_HOST": f"unix://{self.path}", "DOCKER_CLI_HINTS": "false"},
        )


def read_all(sock: socket.socket) -> bytes:
    parts = []
    while data := sock.recv(65536):
        parts.append(data)
    return b"".join(parts)


def run_server(path: Path, engine: FakeEngine) -> Iterator[Running]:
    ready: concurrent.futures.Future[tuple[asyncio.AbstractEventLoop, Server, asyncio.Event]] = (
        concurrent.futures.Future()
    )

    async def main() -> None:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            server = await serve(engine, [listener])
            end = asyncio.Event()
            ready.set_result((asyncio.get_running_loop(), server, end))
            await end.wait()
            await server.stop(grace_s=2)
            await engine.close()

    thread = threading.Thread(target=lambda: asyncio.run(main()), name="api server")
    thread.start()
    loop, server, end = ready.result(LIMIT_S)
    try:
        yield Running(path, engine, loop, server)
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join(LIMIT_S)
        assert not thread.is_alive()


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Running]:
    """An open engine's API."""
    yield from run_server(tmp_path / "api.sock", FakeEngine())


@pytest.fixture
def closed_api(tmp_path: Path) -> Iterator[Running]:
    """The API of an engine that waits for its data root."""
    yield from run_server(tmp_path / "api.sock", FakeEngine(is_open=False))
