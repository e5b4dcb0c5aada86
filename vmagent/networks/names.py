"""The sockets of a container's name server, and the lookup of container names."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from ipaddress import IPv4Address

from vmagent.linux import netns
from vmagent.linux.nft import Nft, NftError
from vmagent.networks.controller import NetworkController
from vmagent.networks.dns import ADDRESS, Lookup
from vmagent.networks.model import Address, Sandbox

_TABLE = "cove_dns"
HOST_NAMES = ("host.docker.internal", "host.cove.internal")


def open_sockets(sandbox: Sandbox) -> tuple[socket.socket, socket.socket]:
    """A UDP socket and a TCP listener inside the sandbox that receive packets for 127.0.0.11 port 53.

    Port 53 itself stays free for a name server in the container, because nftables redirects the packets to other ports.
    Call it in the network thread. Raises OSError. The caller closes both sockets.
    """
    home = netns.current()
    with ExitStack() as undo:
        undo.callback(os.close, home)
        made = ExitStack()
        undo.push(made)
        with netns.inside(sandbox.netns_fd, home):
            udp = made.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC))
            tcp = made.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC))
            nft = Nft()
            undo.callback(nft.close)
        udp.bind((ADDRESS, 0))
        tcp.bind((ADDRESS, 0))
        tcp.listen(16)
        _redirect(nft, udp.getsockname()[1], tcp.getsockname()[1])
        made.pop_all()
        return udp, tcp


def _redirect(nft: Nft, udp: int, tcp: int) -> None:
    """Redirect the packets for the name server to these ports. Raises NftError.

    Only an earlier engine's table, or that of a network left since, is deleted. A deletion is not free: until its RCU
    grace period is over (10 ms and more), the kernel lets no netfilter socket be closed, and this one is closed next.
    """
    rules = f"""
        create table ip {_TABLE}
        table ip {_TABLE} {{
            chain output {{
                type nat hook output priority -100;
                ip daddr {ADDRESS} udp dport 53 dnat to {ADDRESS}:{udp}
                ip daddr {ADDRESS} tcp dport 53 dnat to {ADDRESS}:{tcp}
            }}
        }}
        """
    try:
        nft.run(rules)
    except NftError as e:
        if e.errno != errno.EEXIST:
            raise
        nft.run(f"delete table ip {_TABLE}\n{rules}")


def lookup_of(controller: NetworkController, container_id: str, host_gateway: IPv4Address | None = None) -> Lookup:
    """The lookup function for `container_id`: it resolves names of containers that share a network with it, and the
    host's, which has the address `host_gateway`, or if that is None the gateway of the container's first network.

    The function runs on the engine's loop while the network thread may change the controller, so it reads snapshots.
    """

    def lookup(name: str) -> Sequence[Address] | None:
        own = controller.sandbox(container_id)
        if own is None:
            return None
        # The name that is looked for on each network: for a link's alias that of the linked container.
        wanted = {e.network_id: dict(e.links).get(name, name) for e in own.endpoints}
        found = [
            address.ip
            for sandbox in controller.sandboxes()
            for endpoint in list(sandbox.endpoints)
            if wanted.get(endpoint.network_id) in endpoint.aliases
            for address in (endpoint.address, endpoint.address6)
            if address is not None
        ]
        if not found and name in HOST_NAMES:
            leading = own.leading
            if host_gateway is not None or leading is None:
                return [host_gateway] if host_gateway else None
            return [gateway for gateway in (leading.gateway, leading.gateway6) if gateway]
        return found or None

    return lookup
