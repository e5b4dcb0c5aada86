"""Messages between processes of Cove: JSON objects over SOCK_SEQPACKET, descriptors beside them (SCM_RIGHTS).

One packet is one message. A packet holds at most `INLINE_BYTES` of JSON; a longer message travels in a memfd, which is
the first of the packet's descriptors, and the packet itself is then `{"memfd":SIZE}`. At most 252 descriptors fit one
message (SCM_MAX_FD, one for the memfd). Received descriptors are CLOEXEC and the caller's; on every error they are
closed here. `send` and `receive` block or not as their socket does; `Link` never blocks and queues instead.

The supervisor and the keeper load this module, so it imports neither `json`, `re`, `typing` nor `socket`.
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

    Message = dict[str, Any]

INLINE_BYTES = 60_000  # a packet of more than ~208 KB is EMSGSIZE (net.core.wmem_default)
MAX_MESSAGE_BYTES = 16 << 20
MAX_QUEUED = 4096  # queued messages; a peer that is further behind is disconnected
_MAX_FDS = 253
_FD_BYTES = 4


class PeerLost(Exception):
    """The other side has closed, sent something that is not a message, or lags too far behind."""


def open_socket(fd: int = -1) -> Socket:
    """A new SEQPACKET socket, or one that takes over `fd`. Not blocking, CLOEXEC."""
    if fd < 0:
        return Socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
    os.set_blocking(fd, False)
    os.set_inheritable(fd, False)
    return Socket(AF_UNIX, SOCK_SEQPACKET, 0, fd)


def send(sock: Socket, message: Message, fds: Sequence[int] = ()) -> None:
    """Send one message; `fds` stay the caller's.

    Raises PeerLost; BlockingIOError and TimeoutError as the socket is set; OSError if the descriptors are used up.
    """
    data, memfd = _encode(message)
    try:
        _send_packet(sock, data, fds if memfd < 0 else (memfd, *fds), 0)
    finally:
        if memfd >= 0:
            os.close(memfd)


def receive(sock: Socket) -> tuple[Message, list[int]]:
    """The next message and its descriptors, the caller's. Raises PeerLost; BlockingIOError, TimeoutError as `send`."""
    return _receive_packet(sock, 0)


def _encode(message: Message) -> tuple[bytes, int]:
    """(the packet, the memfd that goes with it or -1); the memfd is the caller's."""
    data = dumps(message).encode()
    if len(data) <= INLINE_BYTES:
        return data, -1
    memfd = os.memfd_create("cove-message", os.MFD_CLOEXEC)
    try:
        write_all(memfd, data)
    except BaseException:
        os.close(memfd)
        raise
    return b'{"memfd":%d}' % len(data), memfd


def _send_packet(sock: Socket, data: bytes, fds: Sequence[int], flags: int) -> None:
    ancillary = [(SOL_SOCKET, SCM_RIGHTS, _pack(fds))] if fds else []
    try:
        sock.sendmsg([data], ancillary, flags | MSG_NOSIGNAL)
    except (BlockingIOError, TimeoutError):
        raise
    except OSError as e:
        raise PeerLost(str(e)) from e


def _receive_packet(sock: Socket, flags: int) -> tuple[Message, list[int]]:
    try:
        data, ancillary, flags, _ = sock.recvmsg(
            INLINE_BYTES + 64, CMSG_SPACE(_MAX_FDS * _FD_BYTES), flags | MSG_CMSG_CLOEXEC
        )
    except (BlockingIOError, TimeoutError):
        raise
    except OSError as e:
        raise PeerLost(str(e)) from e
    fds: list[int] = []
    for level, kind, payload in ancillary:
        if (level, kind) == (SOL_SOCKET, SCM_RIGHTS):
            fds += _unpack(payload)
    try:
        if not data:
            raise PeerLost("closed")
        if flags & (MSG_TRUNC | MSG_CTRUNC):
            raise PeerLost("a message was cut: too long, or no descriptors left in this process")
        message = loads(data.decode())
        if isinstance(message, dict) and "memfd" in message:
            message = _take_memfd(message["memfd"], fds)
        if not isinstance(message, dict):
            raise PeerLost(f"not a message: {type(message).__name__}")
    except (PeerLost, ValueError, TypeError, OSError, IndexError) as e:
        for fd in fds:
            os.close(fd)
        raise e if isinstance(e, PeerLost) else PeerLost(f"not a message: {e}") from e
    return message, fds


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

    def send(self, message: Message, fds: Sequence[int] = ()) -> None:
        """Send or queue `message`; `fds` stay the caller's. Raises PeerLost, OSError (descriptors used up)."""
        data, memfd = _encode(message)
        try:
            self._send_or_queue(data, fds if memfd < 0 else (memfd, *fds))
        finally:
            if memfd >= 0:
                os.close(memfd)

    def _send_or_queue(self, data: bytes, fds: Sequence[int]) -> None:
        if self._queue or not self._try(data, fds):
            if len(self._queue) >= MAX_QUEUED:
                raise PeerLost(f"{len(self._queue)} messages behind")
            self._queue.append((data, _duplicates(fds)))

    def _try(self, data: bytes, fds: Sequence[int]) -> bool:
        try:
            _send_packet(self.sock, data, fds, MSG_DONTWAIT)
        except BlockingIOError:
            return False
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

    def receive(self) -> tuple[Message, list[int]] | None:
        """The next message and its descriptors, the caller's; None if there is none now. Raises PeerLost."""
        try:
            return _receive_packet(self.sock, MSG_DONTWAIT)
        except BlockingIOError:
            return None

    def close(self) -> None:
        """Close the socket and the descriptors of queued messages."""
        for _, fds in self._queue:
            for fd in fds:
                os.close(fd)
        self._queue = []
        self.sock.close()


def _duplicates(fds: Sequence[int]) -> list[int]:
    """Copies of all of `fds`, or none: raises OSError."""
    copies: list[int] = []
    try:
        for fd in fds:
            copies.append(os.dup(fd))
    except OSError:
        for copy in copies:
            os.close(copy)
        raise
    return copies


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
                raise ValueError("shorter than its size")
            parts.append(part)
            at += len(part)
        return loads(b"".join(parts).decode())
    finally:
        os.close(memfd)


def write_all(fd: int, data: bytes) -> None:
    """Write all of `data` to a file: a full disk takes a part before the error. Raises OSError."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _pack(fds: Sequence[int]) -> bytes:
    return b"".join(fd.to_bytes(_FD_BYTES, "little", signed=True) for fd in fds)  # both machines are little-endian


def _unpack(payload: bytes) -> list[int]:
    whole = len(payload) // _FD_BYTES
    return [int.from_bytes(payload[i * _FD_BYTES : (i + 1) * _FD_BYTES], "little", signed=True) for i in range(whole)]
