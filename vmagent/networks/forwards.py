"""Published ports of an engine in a VM: the machine around the VM holds them, and this asks it to.

The host's agent serves a socket in the guest. On it goes one JSON object a line, each answered by one:

    {"publish": [{"protocol", "host_ip", "first", "last", "address", "port"}]}
        -> {"host_ports": [8080]}, or {"error", "index", "host_port", "is_ours"}: nothing is published
    {"unpublish": [{"protocol", "host_ip", "host_port"}]} -> {}
    {"sync": [{"protocol", "host_ip", "host_port", "address", "port"}]} -> {"lost": [{"index", "error"}]}

`host_ip` is "" where the user named none; the host decides what that means. The host connects to the container's IPv4
address, also for clients of IPv6. `sync` comes first on each connection: all
that is published, so that a host that was away, or is another one, holds exactly that from then on.
"""

from __future__ import annotations

import json
import select
import socket
import threading
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog

from vmagent.errors import EngineError, Unavailable
from vmagent.networks.model import ANY_V4, ANY_V6, PortRequest, PublishedPort, Target

CONNECTED_LIMIT_S = 5.0  # how long a request waits for the host
REPLY_LIMIT_S = 15.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 1.0
_LINE_LIMIT = 4 << 20

log = structlog.get_logger(__name__)


class ForwardedPorts:
    """A holder of ports, see `vmagent.networks.ports`. The network thread owns it; a thread of its own connects again
    whenever the host has gone."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._changed = threading.Condition()  # guards the next three, and is notified when they change
        self._held: dict[PublishedPort, Target] = {}
        self._connection: socket.socket | None = None  # in use by the thread
        self._socket: socket.socket | None = None  # the same, once the host has replied to `sync`
        self._is_closed = threading.Event()
        self._thread: threading.Thread | None = None

    def open(self) -> None:
        """Connect, and go on doing so until `close`."""
        self._is_closed.clear()
        self._thread = threading.Thread(target=self._stay_connected, name="host ports", daemon=True)
        self._thread.start()

    def reserve(self, requests: Sequence[PortRequest], target: Target) -> list[PublishedPort]:
        """Have the host forward all of `requests` to `target`, or none. Raises EngineError with docker's message."""
        wanted = [_wanted(request, request.first_host_port, request.last_host_port, target) for request in requests]
        with self._changed:  # in one step: a `sync` before `_held` is complete would have the host drop the ports
            reply = self._request({"publish": wanted})
            if (error := reply.get("error")) is not None:
                request, number = requests[int(reply["index"])], int(reply["host_port"])
                raise _refusal(request, number, str(error), bool(reply["is_ours"]))
            ports = [
                PublishedPort(
                    container_port=request.container_port,
                    protocol=request.protocol,
                    host_ip=request.host_ip,
                    host_port=int(number),
                    is_anywhere=request.is_anywhere,
                )
                for request, number in zip(requests, reply["host_ports"], strict=True)
            ]
            self._held.update(dict.fromkeys(ports, target))
        return [shown for port in ports for shown in _by_family(port)]

    def hold_again(self, ports: Sequence[PublishedPort], target: Target) -> list[PublishedPort]:
        """Ports of a killed engine. The host still forwards them, and hears of them with the next `sync`."""
        with self._changed:
            self._held.update((port, target) for port in ports if not _is_second(port))
        return list(ports)

    def aim(self, ports: Sequence[PublishedPort], target: Target) -> None:
        """Does not wait for a host that is away. Connections through these ports end. Raises EngineError."""
        with self._changed:
            moved = [port for port in ports if port in self._held and self._held[port] != target]
            self.release(moved)
            self._held.update(dict.fromkeys(moved, target))
            if not moved or self._socket is None:
                return
            wanted = [_wanted(port, port.host_port, port.host_port, target) for port in moved]
            try:
                reply = self._request({"publish": wanted})
            except EngineError as e:
                log.info("ports.host_away", error=str(e))
                return
            if (error := reply.get("error")) is not None:
                log.error("port.lost", port=reply["host_port"], error=error)

    def release(self, ports: Iterable[PublishedPort]) -> None:
        """Does not wait for a host that is away: it hears of it with the next `sync`."""
        with self._changed:
            released = [port for port in ports if self._held.pop(port, None) is not None]
            if not released or self._socket is None:
                return
            try:
                self._request({"unpublish": [_key(port) for port in released]})
            except EngineError as e:
                log.info("ports.host_away", error=str(e))

    def close(self, *, is_handed_on: bool = False) -> None:
        """End the connection; the host keeps what is published until an engine tells it otherwise."""
        self._is_closed.set()
        with self._changed:
            _shut_down(self._connection)
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._held.clear()

    def _request(self, message: dict[str, Any]) -> dict[str, Any]:
        """Raises EngineError."""
        with self._changed:
            self._changed.wait_for(lambda: self._socket is not None or self._is_closed.is_set(), CONNECTED_LIMIT_S)
            if self._socket is None:
                raise Unavailable("ports can't be published: the host agent does not answer")
            try:
                return exchange(self._socket, message)
            except (OSError, ValueError) as e:
                _shut_down(self._socket)  # the next `sync` puts right what the host has done of it
                self._socket = None
                raise Unavailable(f"ports can't be published: the host agent broke off: {e}") from e

    def _stay_connected(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._is_closed.is_set():
            try:
                self._connect()
            except (OSError, ValueError) as e:
                log.debug("ports.host_away", error=str(e))
                self._is_closed.wait(pause_s)
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
            else:
                pause_s = FIRST_PAUSE_S

    def _connect(self) -> None:
        """Connect, and return when a connection that was of use has ended. Raises OSError, ValueError."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as connection:
            connection.settimeout(REPLY_LIMIT_S)
            with self._changed:
                self._connection = connection
            try:
                connection.connect(str(self._path))
                self._sync(connection)
                has_ended(connection, None)
            finally:
                with self._changed:
                    self._connection = self._socket = None

    def _sync(self, connection: socket.socket) -> None:
        """Does not keep `release` and `close` waiting for the reply. Raises OSError, ValueError."""
        while True:
            with self._changed:
                if self._is_closed.is_set():
                    raise OSError("closed")
                held = dict(self._held)
            ports = list(held)
            state = [_key(port) | {"address": str(held[port].ipv4), "port": port.container_port} for port in ports]
            for lost in exchange(connection, {"sync": state})["lost"]:
                port = ports[int(lost["index"])]
                log.error("port.lost", port=port.host_port, protocol=str(port.protocol), error=lost["error"])
            with self._changed:
                if held == self._held:
                    self._socket = connection
                    self._changed.notify_all()
                    return


def _by_family(port: PublishedPort) -> list[PublishedPort]:
    """As a user sees it: one that names no address is on both families."""
    if port.is_anywhere and port.host_ip == ANY_V4:
        return [port, replace(port, host_ip=ANY_V6)]
    return [port]


def _is_second(port: PublishedPort) -> bool:
    """Whether it stands for the same binding of the host as one of IPv4."""
    return port.is_anywhere and port.host_ip == ANY_V6


def _host_ip(port: PortRequest | PublishedPort) -> str:
    return "" if port.is_anywhere else str(port.host_ip)


def _wanted(port: PortRequest | PublishedPort, first: int, last: int, target: Target) -> dict[str, Any]:
    return {
        "protocol": str(port.protocol),
        "host_ip": _host_ip(port),
        "first": first,
        "last": last,
        "address": str(target.ipv4),
        "port": port.container_port,
    }


def _key(port: PublishedPort) -> dict[str, Any]:
    return {"protocol": str(port.protocol), "host_ip": _host_ip(port), "host_port": port.host_port}


def _refusal(request: PortRequest, number: int, error: str, is_ours: bool) -> EngineError:
    where = f"[{request.host_ip}]:{number}" if request.host_ip.version == 6 else f"{request.host_ip}:{number}"
    if is_ours:
        return EngineError(f"Bind for {where} failed: port is already allocated")
    return EngineError(f"failed to bind host port for {where}/{request.protocol}: {error}")


def exchange(connection: socket.socket, message: dict[str, Any]) -> dict[str, Any]:
    """The host's reply to `message`. Raises OSError, ValueError."""
    connection.sendall(json.dumps(message).encode() + b"\n")
    line = bytearray()
    while not line.endswith(b"\n"):
        if len(line) > _LINE_LIMIT:
            raise ValueError("a line without an end")
        if not (data := connection.recv(65536)):
            raise ConnectionResetError("the connection was closed")
        line += data
    reply = json.loads(line)
    if not isinstance(reply, dict):
        raise ValueError("no object")  # of the wire, not of a caller
    return reply


def has_ended(connection: socket.socket, limit_ms: int | None) -> bool:
    """Whether the host has closed the connection; found out without reading from it. Waits up to `limit_ms` for that,
    without an end if it is None."""
    poll = select.poll()
    poll.register(connection, select.POLLRDHUP | select.POLLHUP | select.POLLERR)
    return bool(poll.poll(limit_ms))


def _shut_down(connection: socket.socket | None) -> None:
    if connection is not None:
        connection.shutdown(socket.SHUT_RDWR)
