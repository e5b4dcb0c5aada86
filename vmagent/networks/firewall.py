"""The engine's nftables table: masquerading, published ports as map elements, and isolation between networks.

The kernel walks rule lists for each packet, but looks map elements up. So each port is an element (11 µs to add), and
only networks have rules. Each engine has one table, which is deleted when the engine stops.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from ipaddress import IPv4Address

from vmagent.linux.nft import Nft, NftError
from vmagent.networks.model import Network, PublishedPort

_ANY = IPv4Address("0.0.0.0")


def _rules(network: Network) -> list[tuple[str, str]]:
    """The rules of one network as (chain, rule)."""
    bridge, subnet = network.bridge, network.subnet
    rules = [
        # For clients on this host's loopback, and for a container that connects to itself by its published port.
        ("postrouting", f'oifname "{bridge}" ip saddr 127.0.0.0/8 masquerade'),
        ("postrouting", f'oifname "{bridge}" ip saddr {subnet} ct status dnat masquerade'),
    ]
    if network.internal:
        rules.append(("forward", f'iifname "{bridge}" oifname != "{bridge}" drop'))
    else:
        rules.append(("postrouting", f'ip saddr {subnet} oifname != "{bridge}" masquerade'))
        rules.append(("forward", f'oifname "{bridge}" iifname != "{bridge}" ct status dnat accept'))
    # Only this host can reach unpublished ports; other machines and other networks cannot.
    rules.append(("forward", f'oifname "{bridge}" iifname != "{bridge}" drop'))
    return rules


class Firewall:
    """Owns the table `ip NAME`. Calls raise NftError; a failed call changes nothing."""

    def __init__(self, table: str, uplink: str | None = None) -> None:
        """`uplink`: an interface whose packets are never forwarded to published ports."""
        self._uplink = uplink
        self._nft = Nft()
        self._table = f"ip {table}"

    def open(self) -> None:
        """Make an empty table; an existing one of a killed engine is deleted with its rules and elements."""
        t = self._table
        to_address = "dnat ip to ip daddr . meta l4proto . th dport map @one_address"
        unless = f'iifname "{self._uplink}" return; ' if self._uplink else ""
        to_any = "fib daddr type local dnat ip to meta l4proto . th dport map @any_address"
        self._nft.run(
            f"""
            add table {t}
            delete table {t}
            table {t} {{
                map any_address {{ type inet_proto . inet_service : ipv4_addr . inet_service; }}
                map one_address {{ type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }}
                chain to_container {{ {to_address}; {to_any}; }}
                chain prerouting {{ type nat hook prerouting priority -100; {unless}jump to_container; }}
                chain output {{ type nat hook output priority -100; jump to_container; }}
                chain postrouting {{ type nat hook postrouting priority 100; }}
                chain forward {{ type filter hook forward priority 0; policy accept; }}
            }}
            """
        )

    def set_networks(self, networks: Iterable[Network]) -> None:
        """Replace all rules by those of `networks`, in one transaction, so that no packet sees a partial set."""
        t = self._table
        commands = [f"flush chain {t} postrouting", f"flush chain {t} forward"]
        commands.append(f"add rule {t} forward ct state established,related accept")
        commands += [f"add rule {t} {chain} {rule}" for network in networks for chain, rule in _rules(network)]
        self._nft.run("\n".join(commands))

    def publish(self, ports: Iterable[PublishedPort], address: IPv4Address) -> None:
        """Forward packets for `ports` to `address`."""
        commands = [
            f"add element {self._table} {_map(port)} {{ {_key(port)} : {address} . {port.container_port} }}"
            for port in ports
            if port.host_ip.version == 4
        ]
        if commands:
            self._nft.run("\n".join(commands))

    def unpublish(self, ports: Iterable[PublishedPort]) -> None:
        """Stop forwarding `ports`; ports that are not published are ignored."""
        for port in ports:
            if port.host_ip.version == 6:
                continue
            try:
                self._nft.run(f"delete element {self._table} {_map(port)} {{ {_key(port)} }}")
            except NftError as e:
                if e.errno != errno.ENOENT:
                    raise

    def close(self) -> None:
        """Delete the table."""
        self._nft.run(f"add table {self._table}\ndelete table {self._table}")
        self._nft.close()

    def let_go(self) -> None:
        """Close this object's descriptors; the table stays."""
        self._nft.close()


def _map(port: PublishedPort) -> str:
    return "any_address" if port.host_ip == _ANY else "one_address"


def _key(port: PublishedPort) -> str:
    key = f"{port.protocol} . {port.host_port}"
    return key if port.host_ip == _ANY else f"{port.host_ip} . {key}"
