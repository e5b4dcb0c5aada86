"""A TLS connection whose writing end can be closed alone, as `docker run -i` needs. Loaded for `tcp://` with TLS only.

ssl.SSLSocket cannot do that: its `shutdown` drops the TLS state, and its `unwrap` also reads, and so loses what the
peer has sent. Here the TLS state stands apart from the socket, so nothing is read that is not wanted.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from desktop.client.tlsfiles import TlsFiles

_BLOCK = 64 * 1024


class TlsSocket:
    """What a connection uses of a socket. One thread may read while another writes."""

    def __init__(self, sock: socket.socket, files: TlsFiles, host: str) -> None:
        """Shakes hands over the connected `sock`, and owns it afterwards. Raises OSError."""
        context = ssl.create_default_context(cafile=files.ca)
        if not files.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if files.certificate is not None:
            context.load_cert_chain(files.certificate, files.key)
        self._sock = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._state = threading.Lock()  # held for each use of the TLS state, never during a wait for the network
        self._sending = threading.Lock()  # keeps records in the order in which they were made
        self._early = b""  # read before the writing end was closed
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._flush()
                self._feed(sock.recv(_BLOCK))
            except ssl.SSLError:
                self._flush()  # the alert
                raise
        self._flush()

    def _flush(self) -> None:
        if data := self._outgoing.read():
            self._sock.sendall(data)

    def _feed(self, data: bytes) -> None:
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def sendall(self, data: bytes) -> None:
        with self._sending:
            with self._state:
                self._tls.write(data)
            self._flush()

    def recv(self, size: int) -> bytes:
        """b"" at the peer's close_notify or at the connection's end."""
        while True:
            with self._state:
                if self._early:
                    data, self._early = self._early[:size], self._early[size:]
                    return data
                with contextlib.suppress(ssl.SSLWantReadError):
                    try:
                        return self._tls.read(size)
                    except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                        return b""
            data = self._sock.recv(_BLOCK)
            with self._state:
                self._feed(data)

    def shutdown(self, how: int) -> None:
        """SHUT_WR sends close_notify; reading goes on (RFC 8446, section 6.1)."""
        if how != socket.SHUT_WR:
            self._sock.shutdown(how)
            return
        with self._sending:
            with self._state, contextlib.suppress(ssl.SSLError):
                with contextlib.suppress(ssl.SSLWantReadError):
                    while data := self._tls.read(_BLOCK):
                        self._early += data
                self._tls.unwrap()  # reads too, and would refuse data of the peer: there is none left
            self._flush()

    def settimeout(self, timeout_s: float | None) -> None:
        self._sock.settimeout(timeout_s)

    def fileno(self) -> int:
        return self._sock.fileno()

    def close(self) -> None:
        self._sock.close()
