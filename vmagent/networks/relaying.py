"""The engine's side of `vmagent.networks.relay`: which sockets the process serves, and when it is started.

Most published ports never see a client on IPv6. So the process is started when the first one comes: until then a
thread waits for any of the sockets.
"""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass

import structlog

from vmagent.linux import packets
from vmagent.linux.packets import PeerLost
from vmagent.networks.model import PublishedPort, Target

log = structlog.get_logger(__name__)

_REQUEST_LIMIT_S = 10.0
_END_LIMIT_S = 5.0
_HAND_ON_LIMIT_S = 0.2
_PAUSE_S = 1.0


@dataclass(slots=True)
class _Served:
    number: int
    sock: socket.socket
    target: Target


class PortRelay:
    """The IPv6 ports that the relay serves. Safe for several threads; the sockets stay the caller's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards all that follows
        self._served: dict[PublishedPort, _Served] = {}
        self._last = 0
        self._thread: threading.Thread | None = None  # it exists from the first `serve` on, with the next two
        self._poll: select.epoll  # the sockets, and while the process runs its control socket instead
        self._waker: int
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def serve(self, port: PublishedPort, sock: socket.socket, target: Target) -> None:
        """Pass what comes to `sock` on to `target`, until `end`."""
        with self._lock:
            if self._thread is None:
                self._open()
            self._last += 1
            served = self._served[port] = _Served(self._last, sock, target)
            if self._control is None:
                self._poll.register(sock, select.EPOLLIN)
            else:
                self._hand_over(port, served)

    def _open(self) -> None:
        self._poll = select.epoll()
        self._waker = os.eventfd(0, os.EFD_CLOEXEC)
        self._poll.register(self._waker, select.EPOLLIN)
        self._thread = threading.Thread(target=self._run, name="port relay", daemon=True)
        self._thread.start()

    def aim(self, port: PublishedPort, target: Target) -> None:
        """New connections to `port` go to `target`."""
        with self._lock:
            if (served := self._served.get(port)) is not None:
                served.target = target
                self._tell({"aim": served.number, "address": _address(target), "port": port.container_port})

    def end(self, port: PublishedPort) -> None:
        """Ports that are not served are ignored. Call it before the socket is closed."""
        with self._lock:
            if (served := self._served.pop(port, None)) is None:
                return
            if self._control is None:
                self._poll.unregister(served.sock)
            self._tell({"end": served.number})

    def close(self, *, is_handed_on: bool = False) -> None:
        """End the process, but if `is_handed_on`, only when its connections have ended. `serve` may be called again."""
        if self._thread is None:
            return
        os.eventfd_write(self._waker, 1)
        self._thread.join()
        self._thread = None
        with self._lock:
            self._served.clear()
            if not is_handed_on:
                self._tell({"quit": True})
            self._let_go(_HAND_ON_LIMIT_S if is_handed_on else _END_LIMIT_S)
        self._poll.close()
        os.close(self._waker)

    def _run(self) -> None:
        """Start the process when a client comes, and again if it has ended, until `close`."""
        while True:
            ready = {fd for fd, _ in self._poll.poll()}
            if self._waker in ready:
                return
            try:
                with self._lock:
                    if self._control is None:
                        self._start()
                    elif self._control.fileno() in ready:
                        log.error("relay.ended")
                        self._let_go(_END_LIMIT_S)
            except OSError as e:  # no memory, no descriptors
                log.error("relay.not_started", error=str(e))
                time.sleep(_PAUSE_S)

    def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, ExitStack() as undo:
            undo.enter_context(ours)
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "vmagent.networks.relay", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
            )
            undo.pop_all()
        ours.settimeout(_REQUEST_LIMIT_S)
        self._control = ours
        self._poll.register(ours, 0)  # its end is always reported
        for port, served in self._served.items():
            self._poll.unregister(served.sock)
            self._hand_over(port, served)

    def _hand_over(self, port: PublishedPort, served: _Served) -> None:
        message = {
            "serve": served.number,
            "protocol": str(port.protocol),
            "address": _address(served.target),
            "port": port.container_port,
        }
        self._tell(message, (served.sock.fileno(),))

    def _tell(self, message: packets.Message, fds: tuple[int, ...] = ()) -> None:
        """Send it if the process runs. The thread sees the end of one that does not take it."""
        if self._control is not None:
            try:
                packets.send(self._control, message, fds)
            except (PeerLost, TimeoutError) as e:
                log.warning("relay.not_told", error=str(e))

    def _let_go(self, limit_s: float) -> None:
        """Close the connection to the process, and wait for its end. The sockets of ports are waited on again."""
        if self._control is not None:
            self._poll.unregister(self._control)
            self._control.close()
            self._control = None
            for served in self._served.values():
                self._poll.register(served.sock, select.EPOLLIN)
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):  # it has connections, which it goes on with
                self._process.wait(limit_s)
            self._process = None


def _address(target: Target) -> str:
    """The container's address that the relay connects to: its IPv6 one, so that it sees the same family, if any."""
    return str(target.ipv6 or target.ipv4)
