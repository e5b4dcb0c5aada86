"""How the engine and a pull worker talk: one JSON object per SOCK_SEQPACKET message, descriptors beside it.

Engine to worker: {"op", …} with at most two descriptors. Worker to engine: any number of events, then one
{"done": result} or {"failed": message, "kind"}. A worker that ends in between has failed. One job at a time.
"""

from __future__ import annotations

import array
import json
import socket
from collections.abc import Sequence
from typing import Any

Message = dict[str, Any]
MAX_MESSAGE = 1 << 20
BUFFER_BYTES = 4 << 20  # root may pass the system's limit: SO_SNDBUFFORCE
_MAX_FDS = 2
_SO_SNDBUFFORCE = 32


def pair() -> tuple[socket.socket, socket.socket]:
    """Both ends of a worker's control socket, with room for a message of MAX_MESSAGE."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        try:
            end.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, BUFFER_BYTES)
        except PermissionError:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
    return ends


def send(sock: socket.socket, message: Message, fds: Sequence[int] = ()) -> None:
    """Send one message. Raises OSError: the other end is gone, or EMSGSIZE."""
    data = json.dumps(message).encode()
    if fds:
        socket.send_fds(sock, [data], list(fds))
    else:
        sock.send(data)


def decode(data: bytes) -> Message:
    """A message's bytes as the object it is."""
    message: Message = json.loads(data)
    return message


def receive(sock: socket.socket) -> tuple[Message, list[int]] | None:
    """The next message and its descriptors (CLOEXEC, the caller's); None when the other end has closed."""
    fds = array.array("i")
    data, ancillary, flags, _ = sock.recvmsg(
        MAX_MESSAGE, socket.CMSG_SPACE(_MAX_FDS * fds.itemsize), socket.MSG_CMSG_CLOEXEC
    )
    if not data:
        return None
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
    if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
        raise OSError(f"a message of more than {MAX_MESSAGE} bytes")
    return decode(data), list(fds)
