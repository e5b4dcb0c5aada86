"""The kernel's part of networks: bridges and parent interfaces, the leases of subnets, and endpoints' interfaces."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from vmagent.errors import BadRequest, EngineError, NotFound
from vmagent.linux import netlink
from vmagent.networks import parents
from vmagent.networks.ipam import Leases
from vmagent.networks.model import Address, Endpoint, EndpointRequest, Interface, Network, NetworkId

_V6_SETTINGS = Path("/proc/sys/net/ipv6/conf")


@dataclass(frozen=True, slots=True)
class Leased:
    """The addresses of one endpoint."""

    address: Interface
    address6: Interface | None


@dataclass(slots=True)
class Segment:
    """A network that is up."""

    network: Network
    number: int  # of the bridge; 0: the network has a parent interface, which is looked up when it is needed
    leases: Mapping[int, Leases]  # by IP version

    def lease(self, request: EndpointRequest, undo: ExitStack) -> Leased:
        """The requested addresses, or free ones. `undo` gives them back. Raises EngineError."""
        network = self.network
        if network.ipv6 is None and request.address6 is not None:
            raise BadRequest(f"invalid endpoint settings: no configured subnet contains IP address {request.address6}")
        found: list[Interface] = []
        for pool, wanted in zip(network.pools, (request.address, request.address6), strict=False):
            leases = self.leases[pool.subnet.version]
            address = leases.lease(wanted)
            undo.callback(leases.release, address)
            found.append(pool.interface(address))
        return Leased(found[0], found[1] if len(found) > 1 else None)

    def addresses_of(self, endpoint: Endpoint) -> list[tuple[Leases, Address]]:
        """What the endpoint has leased here."""
        found = [endpoint.address] if endpoint.address6 is None else [endpoint.address, endpoint.address6]
        return [(self.leases[one.version], one.ip) for one in found if one.version in self.leases]

    def reserve(self, addresses: Iterable[Address]) -> None:
        for address in addresses:
            if address.version in self.leases:
                self.leases[address.version].reserve(address)

    def unreserve(self, addresses: Iterable[Address]) -> None:
        for address in addresses:
            if address.version in self.leases:
                self.leases[address.version].unreserve(address)

    def hold(self, endpoint: Endpoint) -> None:
        for leases, address in self.addresses_of(endpoint):
            leases.hold(address)

    def release(self, endpoint: Endpoint) -> None:
        for leases, address in self.addresses_of(endpoint):
            leases.release(address)


class Segments:
    """All networks that are up, by id. The network thread owns it."""

    def __init__(self, sock: netlink.NetlinkSocket) -> None:
        """`sock`: in the host's namespace; it stays the caller's."""
        self._netlink = sock
        self._up: dict[NetworkId, Segment] = {}

    def __contains__(self, network_id: object) -> bool:
        return network_id in self._up

    def __getitem__(self, network_id: NetworkId) -> Segment:
        if (segment := self._up.get(network_id)) is None:
            raise NotFound(f"network {network_id} not found")
        return segment

    def ids(self) -> list[NetworkId]:
        return list(self._up)

    def numbers(self) -> set[int]:
        """The bridges' interface numbers."""
        return {segment.number for segment in self._up.values() if segment.number}

    def bring_up(self, network: Network) -> None:
        """Make the network's bridge, or reuse the one of a killed engine. Raises OSError, EngineError."""
        if not network.has_bridge:
            parents.bring_up(self._netlink, network)
            self._add(network)
            return
        exists = frozenset({errno.EEXIST})
        netlink.send_all(self._netlink, [netlink.add_bridge(network.bridge, network.mtu)], ignore=exists)
        number = socket.if_nametoindex(network.bridge)
        if network.ipv6 is not None:
            _route_ipv6(network.bridge)
        addresses = [netlink.add_address(number, pool.interface(pool.gateway)) for pool in network.pools]
        netlink.send_all(self._netlink, addresses, ignore=exists)
        self._netlink.send(netlink.set_link(number, up=True))
        # Allows the kernel to forward packets for 127.0.0.1:PORT of the host to a container.
        Path(f"/proc/sys/net/ipv4/conf/{network.bridge}/route_localnet").write_text("1")
        self._add(network, number)

    def expect(self, network: Network) -> None:
        """Take the network as up, though its parent interface is missing now."""
        self._add(network)

    def _add(self, network: Network, number: int = 0) -> None:
        leases: dict[int, Leases] = {pool.subnet.version: Leases(pool) for pool in network.pools}
        self._up[network.id] = Segment(network, number, leases)

    def take_down(self, network_id: NetworkId) -> None:
        segment = self._up.pop(network_id)
        if not segment.number:
            parents.take_down(self._netlink, segment.network)
            return
        netlink.send_all(self._netlink, [netlink.delete_link(segment.number)], ignore=frozenset({errno.ENODEV}))


def _route_ipv6(bridge: str) -> None:
    """Let the host forward IPv6, and the bridge have it. Raises EngineError where the kernel has no IPv6."""
    everything = _V6_SETTINGS / "all/forwarding"
    if not everything.exists():
        raise EngineError("IPv6 is not available: the kernel has it disabled")
    if everything.read_text().strip() == "0":
        # With forwarding on, an interface with 1 would ignore router advertisements, and the host lose its routes.
        for folder in _V6_SETTINGS.iterdir():
            if folder.name not in ("all", "default") and (folder / "accept_ra").read_text().strip() == "1":
                (folder / "accept_ra").write_text("2")
        everything.write_text("1")
        (_V6_SETTINGS / "default/forwarding").write_text("1")
    (_V6_SETTINGS / bridge / "disable_ipv6").write_text("0")
    (_V6_SETTINGS / bridge / "accept_ra").write_text("0")


def interface_messages(number: int, leased: Leased) -> list[netlink.Request]:
    """Bring the endpoint's interface up with its addresses; for a socket inside the container's namespace."""
    messages = [netlink.set_link(number, up=True), netlink.add_address(number, leased.address)]
    if leased.address6 is not None:
        messages.append(netlink.add_address(number, leased.address6))
    return messages


def default_routes(network: Network, gateways: Iterable[Address | None], number: int) -> list[netlink.Request]:
    """Set the default route of each family that has a gateway, through the interface `number` on `network`."""
    present = [gateway for gateway in gateways if gateway is not None]
    if parents.is_routed(network):
        return [netlink.set_device_route(number, gateway.version) for gateway in present]
    return [netlink.set_default_route(gateway) for gateway in present]
