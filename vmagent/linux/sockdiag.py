"""The listening sockets of a network namespace, by sock_diag(7) (<linux/inet_diag.h>)."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from vmagent.linux.netlink import NetlinkSocket, attributes

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_REQUEST = struct.Struct("=BBBxI48s")  # inet_diag_req_v2: family, protocol, ext, states, id
_MESSAGE = struct.Struct("=BBBBHH16s16sI8sIIIII")  # inet_diag_msg with its inet_diag_sockid
_CGROUP_ID = 21  # INET_DIAG_CGROUP_ID, since Linux 5.9
# TCP_LISTEN; a UDP socket that is bound and not connected has the state TCP_CLOSE.
_PROTOCOLS = {"tcp": (socket.IPPROTO_TCP, 1 << 10), "udp": (socket.IPPROTO_UDP, 1 << 7)}


class Listening(NamedTuple):
    """A socket that waits for connections or datagrams. `cgroup`: the id (inode number) of the cgroup of the process
    that made it."""

    protocol: str  # tcp or udp
    address: IPv4Address | IPv6Address
    port: int
    cgroup: int


def open_socket() -> NetlinkSocket:
    """A socket for `listening`, of the calling thread's network namespace. Raises OSError."""
    return NetlinkSocket(_NETLINK_SOCK_DIAG)


def listening(sock: NetlinkSocket) -> Iterator[Listening]:
    """All of them; those without a cgroup are left out. Raises OSError."""
    for protocol, (number, states) in _PROTOCOLS.items():
        for family in (socket.AF_INET, socket.AF_INET6):
            query = _REQUEST.pack(family, number, 0, states, b"")
            for body in sock.dump(_SOCK_DIAG_BY_FAMILY, query, _SOCK_DIAG_BY_FAMILY):
                _, _, _, _, port, _, source, *_ = _MESSAGE.unpack_from(body)
                cgroup = dict(attributes(body[_MESSAGE.size :])).get(_CGROUP_ID)
                if cgroup is None or not port:
                    continue
                address = IPv4Address(source[:4]) if family == socket.AF_INET else IPv6Address(source)
                yield Listening(protocol, address, socket.ntohs(port), struct.unpack("=Q", cgroup)[0])
