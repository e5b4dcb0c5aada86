"""Messages between engine, supervisor and keeper: JSON objects over SOCK_SEQPACKET, descriptors beside them.

One packet is one message. A packet holds at most `INLINE_BYTES` of JSON; a longer message travels in a memfd, which is
the first of the packet's descriptors, and the packet itself is then `{"memfd":SIZE}`. At most 253 descriptors fit one
message (SCM_MAX_FD). Loaded by the supervisor and the keeper, so: no `json`, `re`, `typing`, `socket`.
"""

from __future__ import annotations

import os
from _socket import (
    AF_UNIX,
    CMSG_SPACE,
    MSG_CMSG_CLOEXEC,
    MSG_CTRUNC,
    MSG_DONTWAIT,
    MSG_NOSIGNAL,
    MSG_TRUNC,
    SCM_RIGHTS,
    SOCK_CLOEXEC,
    SOCK_NONBLOCK,
    SOCK_SEQPACKET,
    SOL_SOCKET,
)
from _socket import socket as Socket

from vmagent.linux.compact_json import dumps, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

INLINE_BYTES = 60_000  # a packet of more than ~208 KB is EMSGSIZE (net.core.wmem_default)
MAX_MESSAGE_BYTES = 16 << 20
MAX_QUEUED = 4096  # messages a peer may be behind before it is given up
_MAX_FDS = 253
_FD_BYTES = 4


class PeerLost(Exception):
    """The other side is gone, or lags so far behind that it counts as gone."""


def open_socket(fd: int = -1) -> Socket:
    """A new SEQPACKET socket, or the one that `fd` is open on (from here on its owner). Not blocking, CLOEXEC."""
    if fd < 0:
        return Socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
    os.set_blocking(fd, False)
    os.set_inheritable(fd, False)
    return Socket(AF_UNIX, SOCK_SEQPACKET, 0, fd)


class Link:
    """One end of a connection. Sends never block: what the kernel does not take is queued, up to `MAX_QUEUED`."""

    __slots__ = ("_queue", "fd", "sock")

    def __init__(self, sock: Socket) -> None:
        """Takes `sock` over; `close` closes it."""
        self.sock = sock
        self.fd = sock.fileno()
        self._queue: list[tuple[bytes, list[int]]] = []

    @property
    def is_behind(self) -> bool:
        """Whether messages wait for the peer: call `flush` when the socket is writable."""
        return bool(self._queue)

    @property
    def queued(self) -> int:
        return len(self._queue)

    def send(self, message: dict[str, Any], fds: Sequence[int] = ()) -> None:
        """Send or queue `message`; `fds` stay the caller's. Raises PeerLost, OSError (descriptors used up)."""
        data = dumps(message).encode()
        if len(data) > INLINE_BYTES:
            memfd = os.memfd_create("cove-message", os.MFD_CLOEXEC)
            try:
                write_all(memfd, data)
                self._send_packet(b'{"memfd":%d}' % len(data), [memfd, *fds])
            finally:
                os.close(memfd)
        else:
            self._send_packet(data, fds)

    def _send_packet(self, data: bytes, fds: Sequence[int]) -> None:
        if self._queue or not self._try(data, fds):
            if len(self._queue) >= MAX_QUEUED:
                raise PeerLost(f"{len(self._queue)} messages behind")
            self._queue.append((data, [os.dup(fd) for fd in fds]))

    def _try(self, data: bytes, fds: Sequence[int]) -> bool:
        ancillary = [(SOL_SOCKET, SCM_RIGHTS, _pack(fds))] if fds else []
        try:
            self.sock.sendmsg([data], ancillary, MSG_DONTWAIT | MSG_NOSIGNAL)
        except BlockingIOError:
            return False
        except OSError as e:
            raise PeerLost(str(e)) from e
        return True

    def flush(self) -> None:
        """Send what is queued, as far as the kernel takes it. Raises PeerLost."""
        while self._queue:
            data, fds = self._queue[0]
            if not self._try(data, fds):
                return
            del self._queue[0]
            for fd in fds:
                os.close(fd)

    def receive(self) -> tuple[dict[str, Any], list[int]] | None:
        """The next message and its descriptors, the caller's, CLOEXEC; None if there is none now.

        Raises PeerLost when the peer has closed or sent what is no message.
        """
        try:
            data, ancillary, flags, _ = self.sock.recvmsg(
                INLINE_BYTES + 64, CMSG_SPACE(_MAX_FDS * _FD_BYTES), MSG_DONTWAIT | MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return None
        except OSError as e:
            raise PeerLost(str(e)) from e
        fds: list[int] = []
        for _level, _kind, payload in ancillary:
            fds += _unpack(payload)
        try:
            if not data:
                raise PeerLost("closed")
            if flags & (MSG_TRUNC | MSG_CTRUNC):
                raise PeerLost("a message was cut: too long, or no descriptors left in this process")
            message = loads(data.decode())
            if "memfd" in message:
                message = _take_memfd(message["memfd"], fds)
        except (PeerLost, ValueError, OSError, IndexError) as e:
            for fd in fds:
                os.close(fd)
            raise e if isinstance(e, PeerLost) else PeerLost(f"not a message: {e}") from e
        return message, fds

    def close(self) -> None:
        """Close the socket and what waited in the queue."""
        for _, fds in self._queue:
            for fd in fds:
                os.close(fd)
        self._queue = []
        self.sock.close()


def _take_memfd(size: int, fds: list[int]) -> Any:
    """The message in the first of `fds`, which is taken off the list and closed."""
    memfd = fds.pop(0)
    try:
        if not 0 < size <= MAX_MESSAGE_BYTES:
            raise ValueError(f"{size} bytes")
        parts = []
        at = 0
        while at < size:
            part = os.pread(memfd, size - at, at)
            if not part:
                raise ValueError("shorter than said")
            parts.append(part)
            at += len(part)
        return loads(b"".join(parts).decode())
    finally:
        os.close(memfd)


def write_all(fd: int, data: bytes) -> None:
    """Write all of `data` to a file: a full one takes a part before it says so. Raises OSError."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _pack(fds: Sequence[int]) -> bytes:
    return b"".join(fd.to_bytes(_FD_BYTES, "little", signed=True) for fd in fds)  # both machines are little-endian


def _unpack(payload: bytes) -> list[int]:
    whole = len(payload) // _FD_BYTES
    return [int.from_bytes(payload[i * _FD_BYTES : (i + 1) * _FD_BYTES], "little", signed=True) for i in range(whole)]
