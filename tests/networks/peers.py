"""Endpoints for tests of the controller, and servers and clients on them."""

from __future__ import annotations

import socket
import threading
from ipaddress import ip_network

from tests.support.limits import HANG_S
from vmagent.linux import netns
from vmagent.networks.controller import NetworkController
from vmagent.networks.model import EndpointRequest, Pool, PortRequest, Sandbox


def attach(
    controller: NetworkController, name: str, *ports: PortRequest, network: str = "bridge", **kwargs: object
) -> Sandbox:
    request = EndpointRequest(network_id=controller.find(network).id, **kwargs)  # type: ignore[arg-type]
    return controller.attach(name, [request], ports)


def server(sandbox: Sandbox, world: int, port: int, host: str = "0.0.0.0") -> socket.socket:
    """A listener inside the sandbox; a socket stays in the namespace where it was made."""
    with netns.inside(sandbox.netns_fd, world):
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    sock.bind((host, port))
    sock.listen()
    sock.settimeout(HANG_S)
    return sock


def client(family: int = socket.AF_INET, sandbox: Sandbox | None = None, world: int = -1) -> socket.socket:
    """A TCP socket in the sandbox, or without one in the namespace of the test."""
    if sandbox is None:
        return socket.socket(family)
    with netns.inside(sandbox.netns_fd, world):
        return socket.socket(family)


def reach(listener: socket.socket, client: socket.socket, address: tuple[str, int]) -> str:
    """Connect and exchange data. Returns the client's address as the server sees it."""
    seen: list[str] = []

    def serve() -> None:
        connection, peer = listener.accept()
        with connection:
            seen.append(peer[0])
            connection.sendall(b"hello")

    thread = threading.Thread(target=serve)
    thread.start()
    with client:
        client.settimeout(HANG_S)
        client.connect(address)
        assert client.recv(5) == b"hello"
    thread.join(HANG_S)
    return seen[0]


def any_port(container_port: int, host_ip: str = "127.0.0.1", protocol: str = "tcp") -> PortRequest:
    return PortRequest.from_api(f"{container_port}/{protocol}", {"HostIp": host_ip, "HostPort": ""})


def pool(subnet: str) -> Pool:
    """With its first address as the gateway."""
    network = ip_network(subnet)
    return Pool(subnet=network, gateway=network[1])
