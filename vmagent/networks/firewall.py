"""The engine's nftables table: masquerade, published ports as map elements, and walls between networks.

Rule lists are walked per packet, map elements are looked up: so ports are elements (11 µs to add) and rules are made
per network. One table per engine, dropped whole when it stops.
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
        # A client on this host's loopback, and a container that reaches itself by its published port.
        ("postrouting", f'oifname "{bridge}" ip saddr 127.0.0.0/8 masquerade'),
        ("postrouting", f'oifname "{bridge}" ip saddr {subnet} ct status dnat masquerade'),
    ]
    if network.internal:
        rules.append(("forward", f'iifname "{bridge}" oifname != "{bridge}" drop'))
    else:
        rules.append(("postrouting", f'ip saddr {subnet} oifname != "{bridge}" masquerade'))
        rules.append(("forward", f'oifname "{bridge}" iifname != "{bridge}" ct status dnat accept'))
    # What was not published is reached from this host alone, not from its neighbours nor from other networks.
    rules.append(("forward", f'oifname "{bridge}" iifname != "{bridge}" drop'))
    return rules


class Firewall:
    """Owns table `ip NAME`. Calls raise NftError; a refused one changes nothing."""

    def __init__(self, table: str) -> None:
        self._nft = Nft()
        self._table = f"ip {table}"

    def open(self) -> None:
        """Make the table anew, empty: rules and elements of a killed engine go with the old one."""
        t = self._table
        to_address = "dnat ip to ip daddr . meta l4proto . th dport map @one_address"
        to_any = "fib daddr type local dnat ip to meta l4proto . th dport map @any_address"
        self._nft.run(
            f"""
            add table {t}
            delete table {t}
            table {t} {{
                map any_address {{ type inet_proto . inet_service : ipv4_addr . inet_service; }}
                map one_address {{ type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }}
                chain to_container {{ {to_address}; {to_any}; }}
                chain prerouting {{ type nat hook prerouting priority -100; jump to_container; }}
                chain output {{ type nat hook output priority -100; jump to_container; }}
                chain postrouting {{ type nat hook postrouting priority 100; }}
                chain forward {{ type filter hook forward priority 0; policy accept; }}
            }}
            """
        )

    def set_networks(self, networks: Iterable[Network]) -> None:
        """Make the rules of exactly these networks, in one transaction: no packet sees half of them."""
        t = self._table
        commands = [f"flush chain {t} postrouting", f"flush chain {t} forward"]
        commands.append(f"add rule {t} forward ct state established,related accept")
        commands += [f"add rule {t} {chain} {rule}" for network in networks for chain, rule in _rules(network)]
        self._nft.run("\n".join(commands))

    def publish(self, ports: Iterable[PublishedPort], address: IPv4Address) -> None:
        """Send what arrives for `ports` to `address`."""
        commands = [
            f"add element {self._table} {_map(port)} {{ {_key(port)} : {address} . {port.container_port} }}"
            for port in ports
        ]
        if commands:
            self._nft.run("\n".join(commands))

    def unpublish(self, ports: Iterable[PublishedPort]) -> None:
        """Stop sending `ports` anywhere; one that is not there is no error."""
        for port in ports:
            try:
                self._nft.run(f"delete element {self._table} {_map(port)} {{ {_key(port)} }}")
            except NftError as e:
                if e.errno != errno.ENOENT:
                    raise

    def close(self) -> None:
        """Drop the table."""
        self._nft.run(f"add table {self._table}\ndelete table {self._table}")
        self._nft.close()

    def let_go(self) -> None:
        """Close what is open here; the table stays."""
        self._nft.close()


def _map(port: PublishedPort) -> str:
    return "any_address" if port.host_ip == _ANY else "one_address"


def _key(port: PublishedPort) -> str:
    key = f"{port.protocol} . {port.host_port}"
    return key if port.host_ip == _ANY else f"{port.host_ip} . {key}"
