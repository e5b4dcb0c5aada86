"""Chooses the subnets of a network and the addresses of an endpoint. Leases are kept in memory.

A released address may still be in a neighbour's ARP cache or in a client's pool. So the search for a free address
begins after the last lease, not at the lowest address.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network

from vmagent.errors import BadRequest, EngineError
from vmagent.networks.model import Address, Pool, Subnet

# Docker's pools, but with another first choice for the default bridge, so that both engines run on one machine.
_POOLS = (
    *(IPv4Network(f"172.{n}.0.0/16") for n in (29, 30, 31, *range(18, 29))),
    *(IPv4Network(f"192.168.{n}.0/20") for n in range(0, 256, 16)),
)
_ULA = 0xFD << 120  # fd00::/8, then a global id of 40 bits and a subnet id of 16 (RFC 4193)
_SUBNET_IDS = 1 << 16


def choose_subnet(taken: Iterable[Subnet]) -> IPv4Network:
    """The first pool that overlaps none of `taken` (other networks, the host's routes). Raises EngineError."""
    used = [other for other in taken if isinstance(other, IPv4Network)]
    for pool in _POOLS:
        if not any(pool.overlaps(other) for other in used):
            return pool
    raise EngineError("could not find an available, non-overlapping IPv4 address pool among the defaults")


def choose_subnet6(taken: Iterable[Subnet], global_id: int) -> IPv6Network:
    """The first unique local /64 of the engine with the 40-bit `global_id` that overlaps none of `taken`.

    Raises EngineError.
    """
    used = [other for other in taken if isinstance(other, IPv6Network)]
    for number in range(_SUBNET_IDS):
        pool = IPv6Network((_ULA | global_id << 80 | number << 64, 64))
        if not any(pool.overlaps(other) for other in used):
            return pool
    raise EngineError("could not find an available, non-overlapping IPv6 address pool among the defaults")


class Leases:
    """The addresses of one subnet. Not safe for several threads: the network thread owns it."""

    def __init__(self, pool: Pool) -> None:
        self._subnet = pool.subnet
        self._range = pool.ip_range or pool.subnet
        # integers: address objects take three times the memory
        self._used = {int(pool.gateway), *(int(address) for address in pool.auxiliary.values())}
        self._reserved: Counter[int] = Counter()
        self._last = int(self._range.network_address)

    def _candidates(self) -> Iterator[int]:
        low, high = int(self._range.network_address), int(self._range.broadcast_address)
        yield from range(self._last + 1, high + 1)
        yield from range(low, self._last + 1)

    def lease(self, wanted: Address | None = None) -> Address:
        """Lease `wanted` or the next free address. Raises BadRequest outside the subnet, EngineError if it is full."""
        if wanted is not None:
            if wanted not in self._subnet or self._is_edge(int(wanted)):
                raise BadRequest(f"invalid endpoint settings: no configured subnet contains IP address {wanted}")
            if int(wanted) in self._used:
                raise EngineError("Address already in use")
            self._used.add(int(wanted))
            return wanted
        for number in self._candidates():
            if number in self._used or number in self._reserved or self._is_edge(number):
                continue
            self._used.add(number)
            self._last = number
            return type(self._subnet.network_address)(number)
        raise EngineError(
            f"no available IPv{self._subnet.version} addresses on this network's address pools: {self._range}"
        )

    def _is_edge(self, number: int) -> bool:
        """Whether it is the subnet's own or its broadcast address; the small subnets of point-to-point links have none.
        IPv6: the anycast address of its routers, and the last one."""
        if self._subnet.max_prefixlen - self._subnet.prefixlen < 2:
            return False
        return number in (int(self._subnet.network_address), int(self._subnet.broadcast_address))

    def reserve(self, address: Address) -> None:
        """Lease `address` only to those that ask for it, until it was unreserved as often as reserved."""
        self._reserved[int(address)] += 1

    def unreserve(self, address: Address) -> None:
        self._reserved[int(address)] -= 1
        if self._reserved[int(address)] <= 0:
            del self._reserved[int(address)]

    def hold(self, address: Address) -> None:
        """Lease an address that a running container already has."""
        self._used.add(int(address))

    def release(self, address: Address) -> None:
        self._used.discard(int(address))
