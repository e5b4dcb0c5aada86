"""The process `cove-relay`: passes connections and datagrams for published IPv6 ports on to containers.

`python -m vmagent.networks.relay FD`: the kernel can't translate IPv6 to IPv4, and does not forward packets from ::1,
so this process does. It is started with the first packet for such a port (`vmagent.networks.relaying`).

Over the socket FD (`vmagent.linux.packets`) come, with the bound socket of the port beside the first one:

    {"serve": NUMBER, "protocol": "tcp" | "udp", "address": "172.30.0.2", "port": 80}
    {"aim": NUMBER, "address", "port"}     new connections go there
    {"end": NUMBER}                        also ends the port's connections
    {"quit": true}

If the engine dies, the sockets of its ports are closed, so that the next engine can bind them, but connections go on
until they end.
"""

from __future__ import annotations

import errno
import os
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from vmagent.linux import packets
from vmagent.linux.openfiles import raise_limit
from vmagent.linux.packets import PeerLost
from vmagent.linux.process import set_name

_CHUNK = 1 << 16
_SESSION_IDLE_S = 90.0
_MOST_SESSIONS = 1024  # of one datagram port
_PER_CONNECTION = 2  # descriptors
_SPARE_DESCRIPTORS = 64
_READ, _WRITE = select.EPOLLIN, select.EPOLLOUT
_GONE = (errno.ECONNABORTED, errno.EPROTO, errno.EAGAIN, errno.EINTR)


class Relay:
    """All ports and connections, on one epoll object."""

    def __init__(self, control: socket.socket) -> None:
        self._control: socket.socket | None = control
        self._poll = select.epoll()
        self._handlers: dict[int, Callable[[], None]] = {}
        self._ports: dict[int, TcpPort | UdpPort] = {}
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._most = max(1, (min(limit, 1 << 20) - _SPARE_DESCRIPTORS) // _PER_CONNECTION)
        self.connections = 0
        self.watch(control, _READ, self._on_control)

    def watch(self, sock: socket.socket, events: int, handler: Callable[[], None]) -> None:
        """Call `handler` when `sock` is ready; instead of what was watched before."""
        is_known = sock.fileno() in self._handlers
        self._handlers[sock.fileno()] = handler
        (self._poll.modify if is_known else self._poll.register)(sock, events)

    def unwatch(self, sock: socket.socket) -> None:
        if self._handlers.pop(sock.fileno(), None) is not None:
            self._poll.unregister(sock)

    def run(self) -> None:
        """Serve until `quit`, or until the engine is gone and the last connection has ended."""
        swept_at = time.monotonic()
        while self._control is not None or self.connections:
            for fd, _ in self._poll.poll(_SESSION_IDLE_S / 3):
                if (handler := self._handlers.get(fd)) is not None:  # an earlier handler may have closed it
                    handler()
            if time.monotonic() - swept_at > _SESSION_IDLE_S / 3:
                swept_at = time.monotonic()
                for port in self._ports.values():
                    port.sweep(swept_at - _SESSION_IDLE_S)

    def _on_control(self) -> None:
        assert self._control is not None
        try:
            message, fds = packets.receive(self._control)
        except BlockingIOError:
            return
        except PeerLost:
            self.unwatch(self._control)
            self._control = None
            for port in self._ports.values():
                port.stop_listening()
            return
        self._obey(message, fds)

    def _obey(self, message: dict[str, Any], fds: list[int]) -> None:
        match message:
            case {"serve": number, "protocol": protocol, "address": address, "port": to}:
                kind = UdpPort if protocol == "udp" else TcpPort
                self._ports[number] = kind(self, socket.socket(fileno=fds[0]), (address, to))
            case {"aim": number, "address": address, "port": to} if number in self._ports:
                self._ports[number].target = (address, to)
            case {"end": number} if number in self._ports:
                self._ports.pop(number).close()
            case {"quit": _}:
                os._exit(0)

    @property
    def is_full(self) -> bool:
        return self.connections >= self._most

    def ended(self) -> None:
        """A connection has ended: ports that had stopped accepting go on."""
        was_full, self.connections = self.is_full, self.connections - 1
        if was_full:
            for port in self._ports.values():
                port.resume()


class TcpPort:
    """One listening socket and its connections."""

    def __init__(self, relay: Relay, sock: socket.socket, target: tuple[str, int]) -> None:
        self.relay, self.target = relay, target
        self._socket: socket.socket | None = sock
        self._is_paused = False
        self.connections: set[Connection] = set()
        sock.setblocking(False)
        relay.watch(sock, _READ, self._on_ready)

    def _on_ready(self) -> None:
        assert self._socket is not None
        if self.relay.is_full:
            self._pause()
            return
        try:
            client, _peer = self._socket.accept()
        except OSError as e:
            if e.errno not in _GONE:
                self._pause()
            return
        Connection(self, client)

    def _pause(self) -> None:
        """Leave further clients in the kernel's queue until a connection ends."""
        if self._socket is not None and not self._is_paused and self.relay.connections:
            self._is_paused = True
            self.relay.unwatch(self._socket)

    def resume(self) -> None:
        if self._socket is not None and self._is_paused:
            self._is_paused = False
            self.relay.watch(self._socket, _READ, self._on_ready)

    def sweep(self, _before: float) -> None:
        """Connections end by themselves."""

    def stop_listening(self) -> None:
        if self._socket is not None:
            self.relay.unwatch(self._socket)
            self._socket.close()
            self._socket = None

    def close(self) -> None:
        self.stop_listening()
        for connection in list(self.connections):
            connection.close()


class Connection:
    """A client and the container, with at most one chunk on its way in each direction."""

    def __init__(self, port: TcpPort, client: socket.socket) -> None:
        self._port, self._relay = port, port.relay
        self._relay.connections += 1
        port.connections.add(self)
        address = port.target[0]
        server = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        self._sockets = (client, server)
        self._pending = [b"", b""]  # what was read from client, server
        self._read_all = [False, False]
        self._is_connected = False
        self._armed = [0, 0]
        for sock in self._sockets:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if server.connect_ex(port.target) in (0, errno.EINPROGRESS):
            self._arm()
        else:
            self.close()

    def _on_ready(self, at: int) -> None:
        self._armed[at] = 0  # by EPOLLONESHOT
        try:
            if at == 1 and not self._is_connected:
                if code := self._sockets[1].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    raise OSError(code, "connect")
                self._is_connected = True
            self._write(at)
            self._read(at)
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        if all(self._read_all) and not any(self._pending):
            self.close()
        else:
            self._arm()

    def _read(self, at: int) -> None:
        """Read from one side, and write to the other at once."""
        if self._pending[at] or self._read_all[at]:
            return
        data = self._sockets[at].recv(_CHUNK)
        if data:
            self._pending[at] = data
        else:
            self._read_all[at] = True
        self._write(1 - at)

    def _write(self, at: int) -> None:
        """Write to one side what was read from the other."""
        other = 1 - at
        if data := self._pending[other]:
            self._pending[other] = data[self._sockets[at].send(data) :]
        if self._read_all[other] and not self._pending[other]:
            try:
                self._sockets[at].shutdown(socket.SHUT_WR)
            except OSError as e:
                if e.errno != errno.ENOTCONN:  # both have ended
                    raise

    def _arm(self) -> None:
        """Wait for what can go on. For one event at a time: a socket that was closed on both sides would always be
        ready."""
        for at, sock in enumerate(self._sockets):
            events = 0
            if self._is_connected and not self._pending[at] and not self._read_all[at]:
                events |= _READ
            if self._pending[1 - at] or (at == 1 and not self._is_connected):
                events |= _WRITE
            if events and events != self._armed[at]:
                self._armed[at] = events
                self._relay.watch(sock, events | select.EPOLLONESHOT, partial(self._on_ready, at))

    def close(self) -> None:
        if self in self._port.connections:
            self._port.connections.discard(self)
            for sock in self._sockets:
                self._relay.unwatch(sock)
                sock.close()
            self._relay.ended()


@dataclass(slots=True)
class _Session:
    """A client of a datagram port, and a socket to the container."""

    sock: socket.socket
    target: tuple[str, int]
    used_at: float = 0.0


class UdpPort:
    """One bound socket, and a socket to the container for each client that has sent to it."""

    def __init__(self, relay: Relay, sock: socket.socket, target: tuple[str, int]) -> None:
        self.relay, self.target = relay, target
        self._socket: socket.socket | None = sock
        self._sessions: dict[Any, _Session] = {}  # by client, in the order of what they have sent last
        sock.setblocking(False)
        relay.watch(sock, _READ, self._on_ready)

    def _on_ready(self) -> None:
        assert self._socket is not None
        try:
            data, client = self._socket.recvfrom(_CHUNK)
        except OSError:  # an earlier reply was not delivered (ICMP)
            return
        try:
            self._session(client).sock.send(data)
        except OSError:  # the container does not listen: as if lost on the way
            return

    def _session(self, client: Any) -> _Session:
        session = self._sessions.pop(client, None)
        if session is not None and session.target != self.target:
            self._close(session)
            session = None
        if session is None:
            if len(self._sessions) >= _MOST_SESSIONS:
                self._end(next(iter(self._sessions)))
            session = self._open(client)
        self._sessions[client] = session
        session.used_at = time.monotonic()
        return session

    def _open(self, client: Any) -> _Session:
        """Raises OSError."""
        sock = socket.socket(socket.AF_INET6 if ":" in self.target[0] else socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        try:
            sock.connect(self.target)
        except OSError:
            sock.close()
            raise
        session = _Session(sock, self.target)
        self.relay.watch(sock, _READ, partial(self._on_reply, session, client))
        return session

    def _on_reply(self, session: _Session, client: Any) -> None:
        try:
            data = session.sock.recv(_CHUNK)
            if self._socket is not None:
                self._socket.sendto(data, client)
        except OSError:
            return
        session.used_at = time.monotonic()

    def _end(self, client: Any) -> None:
        self._close(self._sessions.pop(client))

    def _close(self, session: _Session) -> None:
        self.relay.unwatch(session.sock)
        session.sock.close()

    def sweep(self, before: float) -> None:
        """End the sessions that were last used `before`."""
        for client in [client for client, session in self._sessions.items() if session.used_at < before]:
            self._end(client)

    def resume(self) -> None:
        """Datagram ports are never paused."""

    def stop_listening(self) -> None:
        self.close()

    def close(self) -> None:
        for client in list(self._sessions):
            self._end(client)
        if self._socket is not None:
            self.relay.unwatch(self._socket)
            self._socket.close()
            self._socket = None


def main(argv: list[str]) -> int:
    """Serve until the engine says `quit`, or is gone and the last connection has ended; returns the exit status 0."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the engine handles a ^C of the terminal
    set_name("cove-relay")
    raise_limit()
    control = socket.socket(fileno=int(argv[0]))
    control.setblocking(False)
    Relay(control).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
