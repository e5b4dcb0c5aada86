"""A process that makes user and network namespaces for an engine with threads: the kernel lets none of those do it.

    python -m vmagent.runtime.nsmaker FD

On the SOCK_SEQPACKET at FD each packet is one JSON object {"uid_map", "gid_map", "network"}, with the descriptor of a
user namespace where an existing one is meant. The answer is {"errno": 0} with the user namespace's descriptor and, if
`network`, that of a new network namespace that belongs to it; or {"errno", "doing"}. It ends when the other side does.
"""

from __future__ import annotations

import array
import json
import os
import socket
import sys
from typing import Any

from vmagent.linux.title import set_title
from vmagent.runtime.usernamespace import make_network_namespace, make_user_namespace

_MAX_BYTES = 1 << 16  # 340 lines of each map


def serve(sock: socket.socket) -> None:
    """Until the other side is gone. Raises OSError."""
    while True:
        data, given, _, _ = socket.recv_fds(sock, _MAX_BYTES, 1, socket.MSG_CMSG_CLOEXEC)
        if not data:
            return
        fds = list(given)
        answer = _make(json.loads(data), fds)
        try:
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if not answer["errno"] else []
            sock.sendmsg([json.dumps(answer).encode()], rights)
        finally:
            for fd in fds:
                os.close(fd)


def _make(asked: dict[str, Any], fds: list[int]) -> dict[str, Any]:
    """Complete `fds`, the answer's descriptors."""
    doing = "error making a user namespace"
    try:
        if not fds:
            fds.append(make_user_namespace(asked["uid_map"], asked["gid_map"]))
        if asked["network"]:
            doing = "error making a network namespace in a user namespace"
            fds.append(make_network_namespace(fds[0]))
    except OSError as e:
        return {"errno": e.errno, "doing": doing}
    return {"errno": 0}


def main(argv: list[str]) -> int:
    set_title("cove-userns")
    try:
        with socket.socket(fileno=int(argv[0])) as sock:
            serve(sock)
    except BrokenPipeError:
        pass  # the engine is gone
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
