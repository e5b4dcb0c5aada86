"""The engine's nftables tables: masquerading, published ports as map elements, and isolation between networks.

The kernel walks rule lists for each packet, but looks map elements up. So each port is an element (11 µs to add), and
only networks have rules. Each engine has one table for IPv4, and one for IPv6 as soon as a network has IPv6. Both have
the same form, and are deleted when the engine stops.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from vmagent.linux.nft import Nft, NftError
from vmagent.networks.model import Address, Network, Pool, PublishedPort, Target


@dataclass(frozen=True, slots=True)
class _Family:
    """What differs in the rules of IPv4 and IPv6."""

    word: str  # of tables and matches
    address_type: str
    # IPv6 has no route_localnet: the kernel does not forward packets from ::1, so a relay serves them.
    unless_output: str
    version: int

    def pool(self, network: Network) -> Pool | None:
        return network.ipv4 if self.version == 4 else network.ipv6

    def address(self, target: Target) -> Address | None:
        return target.ipv4 if self.version == 4 else target.ipv6


_V4 = _Family("ip", "ipv4_addr", "", 4)
_V6 = _Family("ip6", "ipv6_addr", "ip6 daddr ::1 return; ", 6)


def _rules(family: _Family, network: Network, pool: Pool) -> list[tuple[str, str]]:
    """The rules of one network as (chain, rule)."""
    bridge, subnet, ip = network.bridge, pool.subnet, family.word
    # For a container that connects to itself by its published port.
    rules = [("postrouting", f'oifname "{bridge}" {ip} saddr {subnet} ct status dnat masquerade')]
    if family is _V4:  # for clients on this host's loopback
        rules.append(("postrouting", f'oifname "{bridge}" ip saddr 127.0.0.0/8 masquerade'))
    if network.internal:
        rules.append(("forward", f'iifname "{bridge}" oifname != "{bridge}" drop'))
    else:
        rules.append(("postrouting", f'{ip} saddr {subnet} oifname != "{bridge}" masquerade'))
        rules.append(("forward", f'oifname "{bridge}" iifname != "{bridge}" ct status dnat accept'))
    # Only this host can reach unpublished ports; other machines and other networks cannot.
    rules.append(("forward", f'oifname "{bridge}" iifname != "{bridge}" drop'))
    return rules


class Rule(NamedTuple):
    """An element of a table's map: "TABLE MAP { KEY : VALUE }"."""

    text: str
    is_there: bool  # the kernel has it


class Firewall:
    """Owns the tables `ip NAME` and `ip6 NAME`. Calls raise NftError; a failed call changes nothing."""

    def __init__(self, table: str, uplink: str | None = None) -> None:
        """`uplink`: an interface whose packets are never forwarded to published ports."""
        self._uplink = uplink
        self._nft = Nft()
        self._name = table
        self._families = [_V4]  # those with a table

    def is_whole(self) -> bool:
        """Whether the tables are there."""
        try:
            for family in self._families:
                self._nft.run(f"list table {self._table(family)}")
        except NftError:
            return False
        return True

    def open(self) -> None:
        """Make an empty table for IPv4; tables of a killed engine are deleted with their rules and elements."""
        self._nft.run(f"add table ip6 {self._name}\ndelete table ip6 {self._name}\n{self._empty(_V4)}")
        self._families = [_V4]

    def _table(self, family: _Family) -> str:
        return f"{family.word} {self._name}"

    def _empty(self, family: _Family) -> str:
        """Commands for a table without networks and ports."""
        t, ip, address = self._table(family), family.word, family.address_type
        to_address = f"dnat {ip} to {ip} daddr . meta l4proto . th dport map @one_address"
        unless = f'iifname "{self._uplink}" return; ' if self._uplink else ""
        to_any = f"fib daddr type local dnat {ip} to meta l4proto . th dport map @any_address"
        return f"""
            add table {t}
            delete table {t}
            table {t} {{
                map any_address {{ type inet_proto . inet_service : {address} . inet_service; }}
                map one_address {{ type {address} . inet_proto . inet_service : {address} . inet_service; }}
                chain to_container {{ {to_address}; {to_any}; }}
                chain prerouting {{ type nat hook prerouting priority -100; {unless}jump to_container; }}
                chain output {{ type nat hook output priority -100; {family.unless_output}jump to_container; }}
                chain postrouting {{ type nat hook postrouting priority 100; }}
                chain forward {{ type filter hook forward priority 0; policy accept; }}
            }}
            """

    def set_networks(self, networks: Iterable[Network]) -> None:
        """Replace all rules by those of `networks`, in one transaction, so that no packet sees a partial set."""
        present = list(networks)
        commands = []
        families = list(self._families)
        if _V6 not in families and any(network.ipv6 for network in present):
            commands.append(self._empty(_V6))
            families.append(_V6)
        for family in families:
            t = self._table(family)
            commands += [f"flush chain {t} postrouting", f"flush chain {t} forward"]
            commands.append(f"add rule {t} forward ct state established,related accept")
            for network in present:
                if (pool := family.pool(network)) is not None:
                    commands += [f"add rule {t} {chain} {rule}" for chain, rule in _rules(family, network, pool)]
        self._nft.run("\n".join(commands))
        self._families = families

    def publish(self, ports: Iterable[PublishedPort], target: Target) -> None:
        """Forward packets for `ports` to `target`, as far as it has an address of the port's family."""
        commands = []
        for port in ports:
            family = self._family(port)
            if family and (address := family.address(target)) is not None:
                element = f"{_key(port)} : {address} . {port.container_port}"
                commands.append(f"add element {self._table(family)} {_map(port)} {{ {element} }}")
        if commands:
            self._nft.run("\n".join(commands))

    def unpublish(self, ports: Iterable[PublishedPort]) -> None:
        """Stop forwarding `ports`; ports that are not published are ignored."""
        for port in ports:
            if (family := self._family(port)) is None:
                continue
            try:
                self._nft.run(f"delete element {self._table(family)} {_map(port)} {{ {_key(port)} }}")
            except NftError as e:
                if e.errno != errno.ENOENT:
                    raise

    def rule_of(self, port: PublishedPort, target: Target) -> Rule | None:
        """The element that forwards `port` to `target`; None if none can: the relay serves it."""
        family = self._family(port)
        address = family.address(target) if family else None
        if family is None or address is None:
            return None
        value = f"{address} . {port.container_port}"
        try:
            present = self._nft.run(f"get element {self._table(family)} {_map(port)} {{ {_key(port)} }}")
        except NftError:
            present = ""
        text = f"{self._table(family)} {_map(port)} {{ {_key(port)} : {value} }}"
        return Rule(text, is_there=value in present)

    def strays(self, published: Iterable[PublishedPort]) -> list[str]:
        """The elements of the maps that belong to none of `published`, as "TABLE MAP { KEY }". Raises NftError."""
        known = {(_map(port), _key(port)) for port in published}
        found = []
        for family in self._families:
            for name in ("any_address", "one_address"):
                printed = self._nft.run(f"list map {self._table(family)} {name}")
                _, _, elements = printed.partition("elements = {")
                keys = (entry.partition(" : ")[0].strip() for entry in elements.partition("}")[0].split(","))
                found += [
                    f"{self._table(family)} {name} {{ {key} }}" for key in keys if key and (name, key) not in known
                ]
        return found

    def remove_stray(self, element: str) -> None:
        """Delete one of `strays`. Raises NftError."""
        self._nft.run(f"delete element {element}")

    def _family(self, port: PublishedPort) -> _Family | None:
        """That of the port's address; None: it has no table."""
        return next((family for family in self._families if family.version == port.host_ip.version), None)

    def close(self) -> None:
        """Delete the tables."""
        for family in self._families:
            self._nft.run(f"add table {self._table(family)}\ndelete table {self._table(family)}")
        self._nft.close()

    def let_go(self) -> None:
        """Close this object's descriptors; the tables stay."""
        self._nft.close()


def _map(port: PublishedPort) -> str:
    return "any_address" if port.host_ip.is_unspecified else "one_address"


def _key(port: PublishedPort) -> str:
    key = f"{port.protocol} . {port.host_port}"
    return key if port.host_ip.is_unspecified else f"{port.host_ip} . {key}"
