"""A process that makes user and network namespaces for the engine: the kernel refuses it in a process with threads.

    python -m vmagent.runtime.nsmaker FD

On the SOCK_SEQPACKET at FD (`vmagent.linux.packets`) each request is {"uid_map", "gid_map", "network"}, with the
descriptor of a user namespace if an existing one is to be used. The reply is {"errno": 0} with the user namespace's
descriptor and, if `network`, that of a new network namespace that belongs to it; or {"errno", "doing"}. The process
ends when the other side closes.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import Any

from vmagent.linux import packets
from vmagent.linux.packets import PeerLost
from vmagent.linux.title import set_title
from vmagent.runtime.usernamespace import make_network_namespace, make_user_namespace


def serve(sock: socket.socket) -> None:
    """Serve requests until the other side closes. Raises PeerLost."""
    while True:
        request, fds = packets.receive(sock)
        reply = _make(request, fds)
        try:
            packets.send(sock, reply, fds if not reply["errno"] else ())
        finally:
            for fd in fds:
                os.close(fd)


def _make(asked: dict[str, Any], fds: list[int]) -> dict[str, Any]:
    """Add the descriptors of the reply to `fds`."""
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
    except PeerLost:
        pass  # the engine has closed its end, or ended
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
