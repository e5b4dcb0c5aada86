"""TLS before the API: clients with certificates, as dockerd's --tlsverify has them.

Each client gets a socket pair: the API serves one end as it serves any client, the other one is relayed through TLS.
asyncio's own TLS closes a connection at the peer's close_notify; here that is a half-close, as on a plain socket: a
container's output goes on after the client has closed its stdin (RFC 8446, section 6.1, allows it).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

_HANDSHAKE_LIMIT_S = 10.0
_BLOCK = 64 << 10


class TlsFiles(NamedTuple):
    """PEM files: the authority that signs clients, the server's certificate and its key."""

    authority: Path
    certificate: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """For a server that lets in clients with a certificate. Raises ValueError naming the file."""
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        made.verify_mode = ssl.CERT_REQUIRED
        try:
            made.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as e:
            raise ValueError(
                f"could not load X509 key pair (cert: {str(self.certificate)!r}, key: {str(self.key)!r}): {e}"
            ) from e
        try:
            made.load_verify_locations(self.authority)
        except (OSError, ssl.SSLError) as e:
            raise ValueError(f"could not read CA certificate {str(self.authority)!r}: {e}") from e
        return made


Serve = Callable[[socket.socket], Awaitable[object]]


class TlsClient(asyncio.Protocol):
    """One client's connection, from its first byte on."""

    def __init__(self, context: ssl.SSLContext, serve: Serve) -> None:
        """`serve`: has the API serve a socket, which it owns from then on."""
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._serve = serve
        self._is_ready = False  # the handshake is over
        self._inner: _Plain | None = None
        self._joining: asyncio.Task[None] | None = None
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._limit = asyncio.get_running_loop().call_later(_HANDSHAKE_LIMIT_S, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._limit.cancel()
        if self._inner is not None:
            self._inner.transport.close()
        elif self._joining is not None:
            self._joining.cancel()

    def data_received(self, data: bytes) -> None:
        self._incoming.write(data)
        self._read()

    def eof_received(self) -> bool:
        self._incoming.write_eof()
        if not self._is_ready or self._inner is None:
            return False
        self._read()
        return True  # replies go on

    def pause_writing(self) -> None:
        if self._inner is not None:
            self._inner.transport.pause_reading()

    def resume_writing(self) -> None:
        if self._inner is not None:
            self._inner.transport.resume_reading()

    def _flush(self) -> None:
        if data := self._outgoing.read():
            self.transport.write(data)

    def _read(self) -> None:
        """Take what has come as far as it goes."""
        try:
            if not self._is_ready:
                self._tls.do_handshake()
                self._is_ready = True
                self._limit.cancel()
                self.transport.pause_reading()  # until the API has the other end
                self._joining = asyncio.get_running_loop().create_task(self._join(), name="serve a TLS client")
            while self._inner is not None and (data := self._tls.read(_BLOCK)):
                self._inner.transport.write(data)
            if self._inner is not None:
                self._end_input()
        except ssl.SSLWantReadError:
            pass
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            self._end_input()
        except ssl.SSLError:
            self._flush()  # the alert that says why
            self.transport.close()
            return
        self._flush()

    def _end_input(self) -> None:
        if self._inner is None:
            self.transport.close()
        elif not self._inner.transport.is_closing():
            with contextlib.suppress(OSError):  # the API has closed its end
                self._inner.transport.write_eof()

    async def _join(self) -> None:
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setblocking(False)
        try:
            await self._serve(theirs)
            _, inner = await asyncio.get_running_loop().create_connection(lambda: _Plain(self), sock=ours)
        except BaseException:
            ours.close()
            theirs.close()
            raise
        self._inner = inner
        if self.transport.is_closing():
            inner.transport.close()
            return
        self.transport.resume_reading()
        self._read()  # what came with the handshake's last bytes

    def send(self, data: bytes) -> None:
        """Reply bytes of the API."""
        self._tls.write(data)
        self._flush()

    def end_output(self) -> None:
        """The API sends no more."""
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()  # writes close_notify; does not wait for the client's
        self._flush()
        if not self.transport.is_closing():
            self.transport.write_eof()


class _Plain(asyncio.Protocol):
    """The relay's end of the socket pair."""

    def __init__(self, client: TlsClient) -> None:
        self._client = client
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._client.send(data)

    def eof_received(self) -> bool:
        self._client.end_output()
        return True  # what the client still sends is taken

    def connection_lost(self, exc: Exception | None) -> None:
        self._client.transport.close()

    def pause_writing(self) -> None:
        self._client.transport.pause_reading()

    def resume_writing(self) -> None:
        self._client.transport.resume_reading()
