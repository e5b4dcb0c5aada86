"""Host ports of containers: who holds them, and how this machine's are held.

They are reserved by bound sockets, so that the kernel decides whether a port is free. The sockets never receive a
connection, because nftables forwards the packets to the container first. In a VM the machine around it holds the ports,
see `vmagent.networks.forwards`.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address
from typing import Protocol

import structlog

from vmagent.errors import BadRequest, EngineError
from vmagent.networks.model import PortRequest, PublishedPort
from vmagent.networks.model import Protocol as PortProtocol

log = structlog.get_logger(__name__)


class PortHolder(Protocol):
    """Holds the host ports of this engine's containers. Not safe for several threads: the network thread owns it."""

    def open(self) -> None:
        """Called when the ports of a killed engine are held again."""
        ...

    def reserve(self, requests: Sequence[PortRequest], address: IPv4Address) -> list[PublishedPort]:
        """Reserve, for the container at `address`, the first free port of each request's range; all or none. Raises
        EngineError with docker's message."""
        ...

    def hold_again(self, ports: Sequence[PublishedPort], address: IPv4Address) -> list[PublishedPort]:
        """Reserve what a killed engine had reserved; returns those of `ports` that are held."""
        ...

    def release(self, ports: Iterable[PublishedPort]) -> None:
        """Ports that are not held are ignored."""
        ...

    def close(self) -> None:
        """Let go of everything. `open` may be called again."""
        ...


class HostPorts:
    """A holder of this machine's own ports."""

    def __init__(self) -> None:
        self._held: dict[PublishedPort, socket.socket] = {}

    def open(self) -> None:
        """Sockets need nothing more."""

    def reserve(self, requests: Sequence[PortRequest], address: IPv4Address) -> list[PublishedPort]:
        held: list[PublishedPort] = []
        try:
            for request in requests:
                held.append(self._reserve_one(request))
        except EngineError:
            self.release(held)
            raise
        return held

    def hold_again(self, ports: Sequence[PublishedPort], address: IPv4Address) -> list[PublishedPort]:
        held = []
        for port in ports:
            request = PortRequest(
                container_port=port.container_port,
                protocol=port.protocol,
                host_ip=port.host_ip,
                first_host_port=port.host_port,
                last_host_port=port.host_port,
                is_anywhere=port.is_anywhere,
            )
            try:
                held.append(self._reserve_one(request))
            except EngineError as e:  # another process took the port while no engine held it
                log.error("port.lost", port=port.host_port, protocol=str(port.protocol), error=str(e))
        return held

    def _reserve_one(self, request: PortRequest) -> PublishedPort:
        refusal: EngineError | None = None
        for number in range(request.first_host_port, request.last_host_port + 1):
            try:
                return self._hold(request, number)
            except EngineError as e:
                refusal = e
        assert refusal is not None
        raise refusal

    def _hold(self, request: PortRequest, number: int) -> PublishedPort:
        host_ip = request.host_ip
        if host_ip.version == 6:
            if not host_ip.is_unspecified:
                raise BadRequest(f"invalid port specification: {host_ip}: ports are published on IPv4 addresses only")
            host_ip = IPv4Address("0.0.0.0")
        where = f"{host_ip}:{number}"
        if number and self._is_ours(request.protocol, host_ip, number):
            raise EngineError(f"Bind for {where} failed: port is already allocated")
        kind = socket.SOCK_STREAM if request.protocol is PortProtocol.TCP else socket.SOCK_DGRAM
        sock = socket.socket(socket.AF_INET, kind | socket.SOCK_CLOEXEC)
        try:
            sock.bind((str(host_ip), number))
            if request.protocol is PortProtocol.TCP:
                sock.listen(1)
        except OSError as e:
            sock.close()
            reason = "address already in use" if e.errno == errno.EADDRINUSE else str(e.strerror).lower()
            raise EngineError(f"failed to bind host port for {where}/{request.protocol}: {reason}") from e
        port = PublishedPort(
            container_port=request.container_port,
            protocol=request.protocol,
            host_ip=host_ip,
            host_port=sock.getsockname()[1],
            is_anywhere=request.is_anywhere,
        )
        self._held[port] = sock
        return port

    def _is_ours(self, protocol: PortProtocol, host_ip: IPv4Address, number: int) -> bool:
        unspecified = IPv4Address("0.0.0.0")
        return any(
            held.protocol is protocol
            and held.host_port == number
            and (held.host_ip == host_ip or unspecified in (held.host_ip, host_ip))
            for held in self._held
        )

    def release(self, ports: Iterable[PublishedPort]) -> None:
        for port in ports:
            if (sock := self._held.pop(port, None)) is not None:
                sock.close()

    def close(self) -> None:
        self.release(list(self._held))
