"""Published UDP ports, and the kernel's table of tracked connections."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

from tests.support.engine import NativeEngine
from tests.support.limits import HANG_S

_RECEIVER = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.bind(("0.0.0.0", 5000))
    print(sock.recv(64).decode())
"""


@contextlib.contextmanager
def _sending(port: int) -> Iterator[None]:
    """Send datagrams from one source port to a port of this host, without a pause that lets an entry expire."""
    ended = threading.Event()

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            while not ended.wait(0.02):
                with contextlib.suppress(ConnectionRefusedError):  # by ICMP, while nothing receives
                    sock.sendto(b"datagram", ("127.0.0.1", port))

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _received(engine: NativeEngine, name: str) -> str:
    """The next datagram that arrives in the container; busybox has no program for them. Raises TimeoutExpired."""
    pid = engine.docker("inspect", "-f", "{{.State.Pid}}", name).stdout.strip()
    argv = ["nsenter", "-t", pid, "-n", sys.executable, "-c", _RECEIVER]
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=HANG_S).stdout.strip()


def test_a_sender_that_never_pauses_reaches_the_container_after_its_restart(engine: NativeEngine) -> None:
    engine.docker("run", "-d", "--name", "udp", "-p", "127.0.0.1::5000/udp", "busybox", "sleep", "600")
    port = int(engine.docker("port", "udp", "5000/udp").stdout.rpartition(":")[2])
    engine.docker("rm", "-f", "udp")
    try:
        with _sending(port):  # before anything is published: the entry has no translation
            given = f"127.0.0.1:{port}:5000/udp"
            engine.docker("run", "-d", "--name", "udp", "-p", given, "busybox", "sleep", "600")
            assert _received(engine, "udp") == "datagram"
            engine.docker("stop", "-t0", "udp")
            # Another container takes the address that the first one had.
            engine.docker("run", "-d", "--name", "other", "busybox", "sleep", "600")
            engine.docker("start", "udp")
            assert _received(engine, "udp") == "datagram"
    finally:
        engine.docker("rm", "-f", "udp", "other", check=False)
