"""Chooses the subnet of a network and the address of an endpoint. Leases are kept in memory.

A released address may still be in a neighbour's ARP cache or in a client's pool. So the search for a free address
begins after the last lease, not at the lowest address.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network

from vmagent.errors import BadRequest, EngineError

# Docker's pools, but with another first choice for the default bridge, so that both engines run on one machine.
_POOLS = (
    *(IPv4Network(f"172.{n}.0.0/16") for n in (29, 30, 31, *range(18, 29))),
    *(IPv4Network(f"192.168.{n}.0/20") for n in range(0, 256, 16)),
)


def choose_subnet(taken: Iterable[IPv4Network]) -> IPv4Network:
    """The first pool that overlaps none of `taken` (other networks, the host's routes). Raises EngineError."""
    used = list(taken)
    for pool in _POOLS:
        if not any(pool.overlaps(other) for other in used):
            return pool
    raise EngineError("could not find an available, non-overlapping IPv4 address pool among the defaults")


class Leases:
    """The addresses of one subnet. Not safe for several threads: the network thread owns it."""

    def __init__(self, subnet: IPv4Network, gateway: IPv4Address, ip_range: IPv4Network | None = None) -> None:
        self._subnet = subnet
        self._range = ip_range or subnet
        self._used = {int(gateway)}  # integers: address objects take three times the memory
        self._last = int(self._range.network_address)

    def _candidates(self) -> Iterator[int]:
        low, high = int(self._range.network_address), int(self._range.broadcast_address)
        yield from range(self._last + 1, high + 1)
        yield from range(low, self._last + 1)

    def lease(self, wanted: IPv4Address | None = None) -> IPv4Address:
        """Lease `wanted` or the next free address. Raises BadRequest outside the subnet, EngineError if it is full."""
        edges = (self._subnet.network_address, self._subnet.broadcast_address)
        if wanted is not None:
            if wanted not in self._subnet or (wanted in edges and self._subnet.prefixlen < 31):
                raise BadRequest(f"invalid endpoint settings: no configured subnet contains IP address {wanted}")
            if int(wanted) in self._used:
                raise EngineError("Address already in use")
            self._used.add(int(wanted))
            return wanted
        for number in self._candidates():
            if number in self._used or (address := IPv4Address(number)) in edges:
                continue
            self._used.add(number)
            self._last = number
            return address
        raise EngineError(f"no available IPv4 addresses on this network's address pools: {self._range}")

    def hold(self, address: IPv4Address) -> None:
        """Lease an address that a running container already has."""
        self._used.add(int(address))

    def release(self, address: IPv4Address) -> None:
        self._used.discard(int(address))
