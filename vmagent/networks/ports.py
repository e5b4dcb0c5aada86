"""Host ports of containers: who holds them, and how this machine's are held.

They are reserved by bound sockets, so that the kernel decides whether a port is free. Those of IPv4 never receive a
connection, because nftables forwards the packets to the container first. Those of IPv6 receive what nftables can't
forward, and a relay serves them. In a VM the machine around it holds the ports, see `vmagent.networks.forwards`.
"""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Protocol

import structlog

from vmagent.errors import EngineError
from vmagent.networks.model import ANY_V4, ANY_V6, Address, PortRequest, PublishedPort, Target
from vmagent.networks.model import Protocol as PortProtocol
from vmagent.networks.relaying import PortRelay

log = structlog.get_logger(__name__)

_BACKLOG = 128
_RANDOM_TRIES = 16  # to find a number that is free on both families
_NO_FAMILY = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)  # this machine has no IPv6
_HELD_BY_OLD_TRIES, _HELD_BY_OLD_PAUSE_S = 50, 0.02


class PortHolder(Protocol):
    """Holds the host ports of this engine's containers. Not safe for several threads: the network thread owns it."""

    def open(self) -> None:
        """Called when the ports of a killed engine are held again."""
        ...

    def reserve(self, requests: Sequence[PortRequest], target: Target) -> list[PublishedPort]:
        """Reserve, for the container at `target`, the first free port of each request's range; all or none.

        A request without an address gives two ports, of IPv4 and of IPv6, with one number. Raises EngineError with
        docker's message."""
        ...

    def hold_again(self, ports: Sequence[PublishedPort], target: Target) -> list[PublishedPort]:
        """Reserve what a killed engine had reserved; returns those of `ports` that are held."""
        ...

    def aim(self, ports: Sequence[PublishedPort], target: Target) -> None:
        """The container has another address now."""
        ...

    def release(self, ports: Iterable[PublishedPort]) -> None:
        """Ports that are not held are ignored."""
        ...

    def close(self, *, is_handed_on: bool = False) -> None:
        """Let go of everything. `is_handed_on`: to the next engine. `open` may be called again."""
        ...


class HostPorts:
    """A holder of this machine's own ports."""

    def __init__(self) -> None:
        self._held: dict[PublishedPort, socket.socket] = {}
        self._relay = PortRelay()

    def open(self) -> None:
        """Sockets need nothing more."""

    def reserve(self, requests: Sequence[PortRequest], target: Target) -> list[PublishedPort]:
        held: list[PublishedPort] = []
        try:
            for request in requests:
                held += self._reserve_one(request, target)
        except BaseException:
            self.release(held)
            raise
        return held

    def hold_again(self, ports: Sequence[PublishedPort], target: Target) -> list[PublishedPort]:
        held = []
        for port in ports:
            try:
                self._hold_when_let_go(port, target)
                held.append(port)
            except EngineError as e:  # another process took the port while no engine held it
                log.error("port.lost", port=port.host_port, protocol=str(port.protocol), error=str(e))
        return held

    def _hold_when_let_go(self, port: PublishedPort, target: Target) -> None:
        """Wait for the relay of a killed engine, which holds ports of IPv6 for a moment longer. Raises EngineError."""
        for _ in range(_HELD_BY_OLD_TRIES if port.host_ip.version == 6 else 0):
            try:
                self._hold(port, target)
                return
            except EngineError:
                time.sleep(_HELD_BY_OLD_PAUSE_S)
        self._hold(port, target)

    def _reserve_one(self, request: PortRequest, target: Target) -> list[PublishedPort]:
        first, last = request.first_host_port, request.last_host_port
        refusal: EngineError | None = None
        for number in range(first, last + 1) if first else [0] * _RANDOM_TRIES:
            try:
                return self._hold_both(request, number, target)
            except EngineError as e:
                refusal = e
                if not first and not request.is_anywhere:
                    break
        assert refusal is not None
        raise refusal

    def _hold_both(self, request: PortRequest, number: int, target: Target) -> list[PublishedPort]:
        """Hold `number` (0: any) on the request's address, and on IPv6 too if it names none. Raises EngineError."""
        port = PublishedPort(
            container_port=request.container_port,
            protocol=request.protocol,
            host_ip=request.host_ip,
            host_port=number,
            is_anywhere=request.is_anywhere,
        )
        held = [self._hold(port, target)]
        if request.is_anywhere and request.host_ip == ANY_V4:
            try:
                held.append(self._hold(replace(held[0], host_ip=ANY_V6), target))
            except _NoFamilyError:
                return held
            except EngineError:
                self.release(held)
                raise
        return held

    def _hold(self, port: PublishedPort, target: Target) -> PublishedPort:
        """Bind the port's number, or any if it is 0; the port with its number. Raises EngineError."""
        is_v6 = port.host_ip.version == 6
        where = f"[{port.host_ip}]:{port.host_port}" if is_v6 else f"{port.host_ip}:{port.host_port}"
        if port.host_port and self._is_ours(port.protocol, port.host_ip, port.host_port):
            raise EngineError(f"Bind for {where} failed: port is already allocated")
        is_tcp = port.protocol is PortProtocol.TCP
        kind = socket.SOCK_STREAM if is_tcp else socket.SOCK_DGRAM
        sock = None
        try:
            sock = socket.socket(socket.AF_INET6 if is_v6 else socket.AF_INET, kind | socket.SOCK_CLOEXEC)
            if is_v6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                if is_tcp:  # connections of a killed engine's relay may go on at the same number
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((str(port.host_ip), port.host_port))
            if is_tcp:
                sock.listen(_BACKLOG)
        except OSError as e:
            if sock is not None:
                sock.close()
            reason = "address already in use" if e.errno == errno.EADDRINUSE else str(e.strerror).lower()
            kind_of_error = _NoFamilyError if e.errno in _NO_FAMILY else EngineError
            raise kind_of_error(f"failed to bind host port for {where}/{port.protocol}: {reason}") from e
        held = replace(port, host_port=sock.getsockname()[1])
        self._held[held] = sock
        if is_v6:
            self._relay.serve(held, sock, target)
        return held

    def _is_ours(self, protocol: PortProtocol, host_ip: Address, number: int) -> bool:
        return any(
            held.protocol is protocol
            and held.host_port == number
            and held.host_ip.version == host_ip.version
            and (held.host_ip == host_ip or held.host_ip.is_unspecified or host_ip.is_unspecified)
            for held in self._held
        )

    def aim(self, ports: Sequence[PublishedPort], target: Target) -> None:
        for port in ports:
            self._relay.aim(port, target)

    def release(self, ports: Iterable[PublishedPort]) -> None:
        for port in ports:
            if (sock := self._held.pop(port, None)) is not None:
                self._relay.end(port)
                sock.close()

    def close(self, *, is_handed_on: bool = False) -> None:
        self._relay.close(is_handed_on=is_handed_on)
        self.release(list(self._held))


class _NoFamilyError(EngineError):
    """This machine has no such address."""
