"""The kernel's table of tracked connections, through nfnetlink (<linux/netfilter/nfnetlink_conntrack.h>).

NAT rules are applied to the first packet of a connection, and its entry decides for all others. A datagram socket that
never pauses keeps its entry alive, with the address of a container that has ended.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Collection
from contextlib import suppress

from vmagent.linux.netlink import NESTED, NETFILTER, NetlinkSocket, Request, attribute, attributes

_NFGENMSG = struct.Struct(">BBH")  # family, version, res_id
_CT = 1 << 8  # NFNL_SUBSYS_CTNETLINK
_NEW, _GET, _DELETE = _CT | 0, _CT | 1, _CT | 2  # IPCTNL_MSG_CT_*
_TUPLE_ORIG, _TUPLE_REPLY, _TUPLE_IP, _TUPLE_PROTO, _PROTO_NUM, _PROTO_DST_PORT = 1, 2, 1, 2, 1, 3  # CTA_*
_IP_SOURCES = (1, 3)  # CTA_IP_V4_SRC, CTA_IP_V6_SRC
_QUERIES = tuple(_NFGENMSG.pack(family, 0, 0) for family in (socket.AF_INET, socket.AF_INET6))
_UNSUPPORTED = (errno.EINVAL, errno.EOPNOTSUPP, errno.EPROTONOSUPPORT)


class Unsupported(Exception):
    """The kernel has no nf_conntrack_netlink."""


def forget_udp(ports: Collection[int], keep: Collection[bytes] = ()) -> int:
    """Delete the entries of datagrams that were first sent to one of `ports`, in the calling thread's namespace.

    Entries whose replies come from an address in `keep` (packed) stay. Returns how many were deleted. The next datagram
    of each of their senders is treated as its first.

    Raises Unsupported, OSError.
    """
    deleted = 0
    with NetlinkSocket(NETFILTER) as netlink:
        # Twice: a datagram on its way has passed the rules before the change, and its entry comes after the first dump.
        for query in _QUERIES * 2:
            found = _udp_to(netlink, query, ports, keep)
            for original in found:
                body = query + attribute(_TUPLE_ORIG | NESTED, original)
                with suppress(FileNotFoundError):  # it has just expired
                    netlink.send(Request("delete a tracked connection", _DELETE, 0, body))
            deleted += len(found)
    return deleted


def _udp_to(netlink: NetlinkSocket, query: bytes, ports: Collection[int], keep: Collection[bytes]) -> list[bytes]:
    """The original tuples of such entries of the query's family. Raises Unsupported, OSError."""
    try:
        entries = [dict(attributes(body[_NFGENMSG.size :])) for body in netlink.dump(_GET, query, _NEW)]
    except OSError as e:
        raise (Unsupported(e.strerror) if e.errno in _UNSUPPORTED else e) from e
    return [
        entry[_TUPLE_ORIG]
        for entry in entries
        if _TUPLE_ORIG in entry
        and _port(entry[_TUPLE_ORIG]) in ports
        and _source(entry.get(_TUPLE_REPLY, b"")) not in keep
    ]


def _source(reply: bytes) -> bytes:
    """The source address of a tuple."""
    values = dict(attributes(dict(attributes(reply)).get(_TUPLE_IP, b"")))
    return next((values[key] for key in _IP_SOURCES if key in values), b"")


def _port(original: bytes) -> int | None:
    """The destination port of a tuple of UDP; None for other protocols."""
    values = dict(attributes(dict(attributes(original)).get(_TUPLE_PROTO, b"")))
    if values.get(_PROTO_NUM) != bytes([socket.IPPROTO_UDP]) or _PROTO_DST_PORT not in values:
        return None
    return int.from_bytes(values[_PROTO_DST_PORT], "big")
