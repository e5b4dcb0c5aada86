"""A small HTTP proxy: CONNECT (RFC 9110, section 9.3.6) and requests in absolute form. It alone knows some names."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from tests.support.limits import HANG_S


class Proxy:
    """Resolves `names` (HOST:PORT by host name) and what the machine resolves.

    `asked`: HOST[:PORT] of each request; `seen`: only their hosts; `shown`: the headers for credentials that it could
    read. `cuts`: so many tunnels to come end after `cut_after` bytes of one direction, each piece after `pause_s`;
    `passed`: bytes that clients got through tunnels.
    """

    def __init__(self, names: Mapping[str, str]) -> None:
        self.names = names
        self.asked: list[str] = []
        self.shown: set[str] = set()
        self.cuts, self.cut_after, self.pause_s = 0, 0, 0.0
        self.passed = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept, name="proxy")
        self._accepting.start()

    @property
    def seen(self) -> list[str]:
        return [urlsplit(f"//{where}").hostname or "" for where in self.asked]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self._listener.close()
        for thread in self._threads:
            thread.join(HANG_S)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(client,), name="proxy client", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            client.settimeout(HANG_S)
            head = b""
            while b"\r\n\r\n" not in head:
                if not (data := client.recv(65536)):
                    return
                head += data
            line, _, rest = head.partition(b"\r\n")
            method, target, version = line.decode().split()
            parts = urlsplit(f"//{target}" if method == "CONNECT" else target)
            host = parts.hostname or ""
            self.asked.append(parts.netloc)
            head = rest.partition(b"\r\n\r\n")[0]
            fields = (field.partition(":") for field in head.decode("latin-1").splitlines())
            self.shown |= {value for name, _, value in fields if "authorization" in name.lower()}
            where = self.names.get(host, parts.netloc if parts.port else f"{host}:80")
            address, _, port = where.rpartition(":")
            try:
                server = socket.create_connection((address, int(port)), HANG_S)
            except OSError:
                client.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return
            with server:
                if method == "CONNECT":
                    client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                else:
                    path = parts._replace(scheme="", netloc="").geturl() or "/"
                    server.sendall(f"{method} {path} {version}\r\nConnection: close\r\n".encode() + rest)
                self._both_ways(client, server)

    def _both_ways(self, client: socket.socket, server: socket.socket) -> None:
        back = threading.Thread(target=self._copy, args=(server, client), kwargs={"is_back": True}, name="proxy back")
        back.start()
        self._copy(client, server, is_back=False)
        back.join()

    def _copy(self, source: socket.socket, into: socket.socket, *, is_back: bool) -> None:
        total = 0
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                into.sendall(data)
                total += len(data)
                if is_back:
                    self.passed += len(data)
                if self.cuts > 0 and total > self.cut_after:
                    self.cuts -= 1
                    for one in (source, into):
                        one.shutdown(socket.SHUT_RDWR)
                    return
                if self.pause_s:
                    time.sleep(self.pause_s)
        with contextlib.suppress(OSError):
            into.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def proxy(names: Mapping[str, str]) -> Iterator[Proxy]:
    made = Proxy(names)
    try:
        yield made
    finally:
        made.close()
