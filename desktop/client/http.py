"""HTTP/1.1 over one unix or TCP socket, blocking, standard library only, so that `cove` starts quickly.

A `Connection` carries one request at a time and may be kept for the next. `close()` may be called from any thread: it
wakes a reader, who sees the end of the stream.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import sys
import threading
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from desktop.client.tlsfiles import TlsFiles
from desktop.client.wire import Frame, FrameReader, Head, ProtocolError, ResponseReader

__all__ = ["Connection", "ConnectionFailed", "Endpoint", "Frame", "HijackedStream", "ProtocolError", "Response"]

READ_SIZE = 64 * 1024
CONNECT_LIMIT_S = 10.0
DEFAULT_PORT = 2375
DEFAULT_TLS_PORT = 2376

if TYPE_CHECKING:
    from desktop.client.tls import TlsSocket

    if sys.platform == "win32":
        from desktop.client.pipe import PipeSocket

        Carrier = socket.socket | TlsSocket | PipeSocket
    else:
        Carrier = socket.socket | TlsSocket

Body = bytes | Iterable[bytes] | None


class ConnectionFailed(Exception):
    """`endpoint` refuses connections, or the connection broke; str() is the reason, without the endpoint."""

    def __init__(self, endpoint: Endpoint, reason: str) -> None:
        super().__init__(reason)
        self.endpoint = endpoint


class NoReply(ConnectionFailed):
    """The endpoint has accepted the connection, and sends nothing."""


class Endpoint(NamedTuple):
    """Where an API is served: a unix socket's path, a host and a port, or a machine that ssh reaches."""

    scheme: str  # "unix", "tcp", "npipe" or "ssh"
    address: str  # the socket's or pipe's path, the host, or ssh's [USER@]HOST
    port: int = 0
    tls: TlsFiles | None = None
    path: str = ""  # of the socket on the machine that ssh reaches, if it is not the usual one

    @classmethod
    def local(cls, socket_path: os.PathLike[str]) -> Endpoint:
        """A local socket of Cove: a unix socket, or on Windows a named pipe."""
        path = os.fspath(socket_path)
        return cls("npipe" if path.startswith("\\\\.\\pipe") else "unix", path)

    @classmethod
    def parse(cls, text: str, tls: TlsFiles | None = None) -> Endpoint:
        """`unix:///path`, `tcp://host[:port]`, `ssh://[user@]host[:port][/path]`, a bare absolute path, or host:port.

        Raises ValueError.
        """
        scheme, separator, rest = text.partition("://")
        if not separator:
            scheme, rest = ("unix", text) if text.startswith("/") else ("tcp", text)
        if scheme == "unix":
            if not rest:
                raise ValueError(f"invalid host {text!r}: a unix socket needs a path")
            return cls("unix", rest)
        if scheme == "npipe" and rest:
            return cls("npipe", rest.replace("/", "\\"))
        if scheme == "ssh":
            return cls._of_ssh(text, rest)
        if scheme not in ("tcp", "http", "https"):
            known = "unix://, tcp://, ssh:// and npipe://"
            raise ValueError(f"unable to parse docker host `{text}`: only {known} are understood")
        host, port = _host_and_port(text, rest.rstrip("/"))
        default = DEFAULT_TLS_PORT if tls else DEFAULT_PORT
        return cls("tcp", host.strip("[]") or "127.0.0.1", port or default, tls)

    @classmethod
    def _of_ssh(cls, text: str, rest: str) -> Endpoint:
        """`rest` is what follows ssh://. Port 0: as ssh has it. Raises ValueError."""
        machine, slash, path = rest.partition("/")
        host, port = _host_and_port(text, machine)
        user, at, name = host.rpartition("@")
        # None of them, or what ssh would take for an option.
        if not name or name.startswith("-") or (at and (not user or user.startswith("-") or ":" in user)):
            raise ValueError(f"invalid host {text!r}: ssh://[user@]host[:port][/path] is meant")
        return cls("ssh", host, port, None, slash + path if path else "")

    def __str__(self) -> str:
        if self.scheme == "unix":
            return f"unix://{self.address}"
        if self.scheme == "npipe":  # as docker's clients spell it
            return f"npipe://{self.address.replace(chr(92), '/')}"
        if self.scheme == "ssh":
            return f"ssh://{self.address}{f':{self.port}' if self.port else ''}{self.path}"
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"tcp://{host}:{self.port}"

    def connect(self, timeout_s: float | None) -> Carrier:
        """A connected socket; the caller closes it. Raises ConnectionFailed."""
        sock: socket.socket | None = None
        try:
            if self.scheme == "npipe":
                from desktop.client import pipe

                return pipe.connect(self.address, timeout_s)
            if self.scheme == "ssh":
                from desktop.client import ssh

                sock = ssh.connect(self.address, self.port, self.path)
                sock.settimeout(timeout_s)
                return sock
            if self.scheme == "unix":
                family = getattr(socket, "AF_UNIX", None)
                if family is None:
                    raise OSError("unix sockets are not available here")
                sock = socket.socket(family, socket.SOCK_STREAM)
                sock.settimeout(timeout_s)
                sock.connect(self.address)
            else:
                sock = socket.create_connection((self.address, self.port), timeout_s)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self.tls is not None:
                    from desktop.client.tls import TlsSocket

                    return TlsSocket(sock, self.tls, self.address)
        except OSError as e:
            if sock is not None:
                sock.close()
            raise ConnectionFailed(self, e.strerror or str(e)) from e
        return sock


def _host_and_port(text: str, rest: str) -> tuple[str, int]:
    """Of HOST[:PORT]; 0 if no port is given. Raises ValueError, with the whole `text`."""
    host, colon, port = rest.rpartition(":")
    if not colon or port.endswith("]"):
        return rest, 0
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"invalid host {text!r}: bad port {port!r}")
    return host, int(port)


class Connection:
    """One socket to `endpoint`. `timeout_s` limits connecting and each wait for bytes; None waits for ever."""

    def __init__(self, endpoint: Endpoint, timeout_s: float | None = None) -> None:
        """Connects. Raises ConnectionFailed."""
        self.endpoint = endpoint
        limit_s = CONNECT_LIMIT_S if timeout_s is None else min(CONNECT_LIMIT_S, timeout_s)
        self._sock = endpoint.connect(limit_s)
        self._sock.settimeout(timeout_s)
        self._in_use = threading.Lock()  # held during a read: close() must not free the descriptor meanwhile
        self._closed = False

    def settimeout(self, timeout_s: float | None) -> None:
        self._sock.settimeout(timeout_s)

    def fileno(self) -> int:
        return self._sock.fileno()

    @property
    def is_closed(self) -> bool:
        return self._closed

    def is_stale(self) -> bool:
        """Whether the peer has closed the idle connection: then it is readable."""
        try:
            return self._closed or bool(select.select([self._sock], [], [], 0)[0])
        except (OSError, ValueError):  # ValueError: closed, or a number too high for select()
            return True

    def request(self, method: str, target: str, headers: Mapping[str, str], body: Body = None) -> Response:
        """Send a request and read the head of its answer. An iterable body goes out in chunks.

        Raises ConnectionFailed and ProtocolError; the connection is closed then.
        """
        self.send(method, target, headers, body)
        return self.response(method)

    def response(self, method: str) -> Response:
        """Read the head of the answer to a request that was sent. Raises as `request`."""
        try:
            return Response(self, ResponseReader(method))
        except BaseException:
            self.close()
            raise

    def send(self, method: str, target: str, headers: Mapping[str, str], body: Body = None) -> None:
        """Send a request whose answer is read later, by `response`. Raises as `request`."""
        lines = [f"{method} {target} HTTP/1.1", "Host: cove", "User-Agent: cove"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if isinstance(body, bytes):
            lines.append(f"Content-Length: {len(body)}")
        elif body is not None:
            lines.append("Transfer-Encoding: chunked")
        elif method in ("POST", "PUT"):
            lines.append("Content-Length: 0")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        try:
            if isinstance(body, bytes) and len(body) > READ_SIZE:
                self.sendall(head)
                self._send_part(body)
            elif isinstance(body, bytes):
                self.sendall(head + body)
            else:
                self.sendall(head)
                if body is not None:
                    self._send_chunks(body)
        except BaseException:
            self.close()
            raise

    def _send_chunks(self, body: Iterable[bytes]) -> None:
        """Raises what `body` raises: the peer, which waits for the rest, would not reply."""
        for part in body:
            if part and not self._send_part(b"%x\r\n%s\r\n" % (len(part), part)):
                return
        self._send_part(b"0\r\n\r\n")

    def _send_part(self, data: bytes) -> bool:
        """False if the peer closed early: it has probably sent an error reply, which is read next."""
        try:
            self._sock.sendall(data)
        except TimeoutError as e:
            raise ConnectionFailed(self.endpoint, "the engine does not take the data") from e
        except OSError:
            return False
        return True

    def sendall(self, data: bytes) -> None:
        """Raises ConnectionFailed."""
        try:
            self._sock.sendall(data)
        except OSError as e:
            raise ConnectionFailed(self.endpoint, e.strerror or str(e)) from e

    def recv(self, size: int = READ_SIZE) -> bytes:
        """Up to `size` bytes, b"" at the end of the stream or after `close()`. Raises ConnectionFailed."""
        try:
            with self._in_use:
                if self._closed:
                    return b""
                return self._sock.recv(size)
        except TimeoutError as e:
            raise NoReply(self.endpoint, "no answer within the time limit") from e
        except OSError as e:
            if self._closed:
                return b""
            raise ConnectionFailed(self.endpoint, e.strerror or str(e)) from e
        finally:
            if self._closed:
                self._release()

    def close_write(self) -> None:
        """Half-close: the peer reads the end of file; reading here continues."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """End both directions. May be called from any thread, and twice."""
        self._closed = True
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._release()

    def _release(self) -> None:
        if self._in_use.acquire(blocking=False):
            try:
                self._sock.close()
            finally:
                self._in_use.release()


class Response:
    """An answer whose head has been read. The body comes by `read_some`; read to its end, the connection is free."""

    def __init__(self, connection: Connection, reader: ResponseReader) -> None:
        """Reads the head. Raises ConnectionFailed, ProtocolError."""
        self.connection = connection
        self._reader = reader
        while (head := reader.head()) is None:
            self._receive()
        self.head: Head = head

    @property
    def status(self) -> int:
        return self.head.status

    @property
    def headers(self) -> dict[str, str]:
        return self.head.headers

    @property
    def is_reusable(self) -> bool:
        """Whether the body has been read completely and the peer keeps the connection open."""
        return self._reader.done and self._reader.keep_alive and not self.connection.is_closed

    def _receive(self) -> None:
        data = self.connection.recv()
        if data:
            self._reader.feed(data)
            return
        try:
            self._reader.end()
        except ProtocolError as e:
            raise ConnectionFailed(self.connection.endpoint, str(e)) from e

    def read_some(self) -> bytes:
        """The next bytes of the body, b"" at its end or after `close()`. Raises ConnectionFailed, ProtocolError."""
        while not (data := self._reader.body()):
            if self._reader.done or self.connection.is_closed:
                return b""
            try:
                self._receive()
            except ConnectionFailed:
                if self.connection.is_closed:
                    return b""
                raise
        return data

    def read(self) -> bytes:
        """The whole (rest of the) body."""
        return b"".join(iter(self.read_some, b""))

    def rest(self) -> bytes:
        """After `101`: bytes of the new protocol that arrived together with the head."""
        return self._reader.rest()

    def close(self) -> None:
        self.connection.close()


class HijackedStream:
    """Both directions of an attach or exec (Engine API, ContainerAttach, "Hijacking").

    `is_multiplexed`: output comes in frames (no terminal); otherwise all of it is stream 1. Reader and writer may be
    different threads.
    """

    def __init__(self, response: Response, *, is_multiplexed: bool) -> None:
        self._connection = response.connection
        self._connection.settimeout(None)
        self.is_multiplexed = is_multiplexed
        self._frames = FrameReader()
        self._early = response.rest()

    def read(self) -> Frame | None:
        """The next output, None at the end. Raises ConnectionFailed, ProtocolError."""
        while True:
            if self.is_multiplexed and (frame := self._frames.take()) is not None:
                return frame
            data, self._early = self._early or self._connection.recv(), b""
            if not data:
                return None
            if not self.is_multiplexed:
                return Frame(1, data)
            self._frames.feed(data)

    def write(self, data: bytes) -> None:
        """Write to stdin. Raises ConnectionFailed if the peer has closed it."""
        self._connection.sendall(data)

    def close_write(self) -> None:
        """Close stdin; output continues."""
        self._connection.close_write()

    def fileno(self) -> int:
        return self._connection.fileno()

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> HijackedStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
