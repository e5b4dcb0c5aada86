"""Reserves host ports by bound sockets, so that the kernel decides whether a port is free.

The sockets never receive a connection, because nftables forwards the packets to the container first.
"""

from __future__ import annotations

import errno
import socket
from ipaddress import IPv4Address

from vmagent.errors import EngineError
from vmagent.networks.model import PortRequest, Protocol, PublishedPort


class HostPorts:
    """The host ports of this engine's containers. Not safe for several threads: the network thread owns it."""

    def __init__(self) -> None:
        self._held: dict[PublishedPort, socket.socket] = {}

    def reserve(self, request: PortRequest) -> PublishedPort:
        """Reserve the first free port in the request's range. Raises EngineError with docker's message."""
        refusal: EngineError | None = None
        for number in range(request.first_host_port, request.last_host_port + 1):
            try:
                return self._hold(request, number)
            except EngineError as e:
                refusal = e
        assert refusal is not None
        raise refusal

    def reserve_again(self, port: PublishedPort) -> PublishedPort:
        """Reserve a port that a killed engine had reserved. Raises EngineError if another process has taken it."""
        request = PortRequest(
            container_port=port.container_port,
            protocol=port.protocol,
            host_ip=port.host_ip,
            first_host_port=port.host_port,
            last_host_port=port.host_port,
        )
        return self.reserve(request)

    def _hold(self, request: PortRequest, number: int) -> PublishedPort:
        where = f"{request.host_ip}:{number}"
        if number and self._is_ours(request.protocol, request.host_ip, number):
            raise EngineError(f"Bind for {where} failed: port is already allocated")
        kind = socket.SOCK_STREAM if request.protocol is Protocol.TCP else socket.SOCK_DGRAM
        sock = socket.socket(socket.AF_INET, kind | socket.SOCK_CLOEXEC)
        try:
            sock.bind((str(request.host_ip), number))
            if request.protocol is Protocol.TCP:
                sock.listen(1)
        except OSError as e:
            sock.close()
            reason = "address already in use" if e.errno == errno.EADDRINUSE else str(e.strerror).lower()
            raise EngineError(f"failed to bind host port for {where}/{request.protocol}: {reason}") from e
        port = PublishedPort(
            container_port=request.container_port,
            protocol=request.protocol,
            host_ip=request.host_ip,
            host_port=sock.getsockname()[1],
        )
        self._held[port] = sock
        return port

    def _is_ours(self, protocol: Protocol, host_ip: IPv4Address, number: int) -> bool:
        unspecified = IPv4Address("0.0.0.0")
        return any(
            held.protocol is protocol
            and held.host_port == number
            and (held.host_ip == host_ip or unspecified in (held.host_ip, host_ip))
            for held in self._held
        )

    def release(self, port: PublishedPort) -> None:
        sock = self._held.pop(port, None)
        if sock is not None:
            sock.close()

    def close(self) -> None:
        for port in list(self._held):
            self.release(port)
