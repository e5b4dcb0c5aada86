"""A server for containers, in Python: `LISTEN` formatted with what it listens on, each as a tuple of (tcp, family,
address, port) or (udp, port). TCP says hello and hangs up, UDP echoes."""

from __future__ import annotations

import socket

LISTEN = """
import socket, threading
def tcp(family, address, port):
    listener = socket.create_server((address, port), family=family)
    while True:
        connection, _ = listener.accept()
        connection.sendall(b"hello\\n")
        connection.close()
def udp(port):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("", port))
    while True: s.sendto(*s.recvfrom(9000))
for work in ({}):
    threading.Thread(target=work[0], args=work[1:]).start()
"""


def is_echoed(client: socket.socket) -> bool:
    """Whether a datagram sent by `client`, which has a limit, comes back. One may be lost."""
    try:
        client.send(b"ping")
        return client.recv(100) == b"ping"
    except (ConnectionRefusedError, TimeoutError):
        return False
