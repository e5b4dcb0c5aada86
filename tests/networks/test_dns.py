"""The name server of user networks: real packets, from inside a container's namespace."""

from __future__ import annotations

import asyncio
import contextlib
import socket

from dnslib import QTYPE, RCODE, DNSRecord

from tests.networks.peers import pool
from tests.support.limits import HANG_S
from vmagent.linux import netns
from vmagent.linux.nft import TableWatch
from vmagent.networks.controller import NetworkController
from vmagent.networks.dns import NameServer, upstream_resolvers
from vmagent.networks.model import EndpointRequest, Sandbox
from vmagent.networks.names import lookup_of, open_sockets


def attach(controller: NetworkController, name: str, network: str, *aliases: str) -> Sandbox:
    return controller.attach(name, [EndpointRequest(network_id=controller.find(network).id, aliases=aliases)])


def ask(asker: Sandbox, world: int, name: str, kind: str = "A", *, over_tcp: bool = False) -> DNSRecord:
    """Send one question to 127.0.0.11 port 53 from inside the asker's namespace."""
    with netns.inside(asker.netns_fd, world):
        sock = socket.socket(type=socket.SOCK_STREAM if over_tcp else socket.SOCK_DGRAM)
    with sock:
        sock.settimeout(HANG_S)
        sock.connect(("127.0.0.11", 53))
        wire = bytes(DNSRecord.question(name, kind).pack())
        if over_tcp:
            sock.sendall(len(wire).to_bytes(2, "big") + wire)
            return DNSRecord.parse(sock.recv(4096)[2:])
        sock.send(wire)
        return DNSRecord.parse(sock.recv(4096))


async def _no_upstream() -> list[str]:
    return []


def served(
    controller: NetworkController, world: int, asker: Sandbox, *questions: tuple[str, str, bool]
) -> list[DNSRecord]:
    """Serve the asker while it asks, with no upstream."""

    async def main() -> list[DNSRecord]:
        server = NameServer(*open_sockets(asker), lookup_of(controller, asker.container_id), _no_upstream)
        await server.start()
        try:
            return [
                await asyncio.to_thread(_in_world, world, asker, name, kind, over_tcp)
                for name, kind, over_tcp in questions
            ]
        finally:
            server.close()

    return asyncio.run(main())


def _in_world(world: int, asker: Sandbox, name: str, kind: str, over_tcp: bool) -> DNSRecord:
    netns.enter(world)  # a thread of the pool starts wherever it was made
    return ask(asker, world, name, kind, over_tcp=over_tcp)


def test_names_and_aliases_resolve_on_a_shared_network_only(controller: NetworkController, world: int) -> None:
    for name, subnet in (("one", "10.202.0.0/24"), ("two", "10.203.0.0/24")):
        controller.create(name, ipv4=pool(subnet))
    asker, web = attach(controller, "a", "one", "a"), attach(controller, "b", "one", "web", "www")
    attach(controller, "c", "two", "far")
    by_name, by_alias, tcp, v6, far = served(
        controller, world, asker, ("web.", "A", False), ("WWW.", "A", False), ("web.", "A", True),
        ("web.", "AAAA", False), ("far.", "A", False),
    )  # fmt: skip
    wanted = [str(web.endpoints[0].address.ip)]
    for reply in (by_name, by_alias, tcp):
        assert [str(rr.rdata) for rr in reply.rr if rr.rtype == QTYPE.A] == wanted
    assert v6.rr == []
    assert v6.header.rcode == RCODE.NOERROR
    assert far.header.rcode == RCODE.SERVFAIL  # no container's name, and there is no upstream


def test_what_is_no_query_is_dropped_and_the_next_is_answered(controller: NetworkController, world: int) -> None:
    controller.create("one", ipv4=pool("10.202.0.0/24"))
    asker = attach(controller, "a", "one", "self")

    async def main() -> DNSRecord:
        server = NameServer(*open_sockets(asker), lookup_of(controller, "a"), _no_upstream)
        await server.start()
        try:
            with netns.inside(asker.netns_fd, world):
                sock = socket.socket(type=socket.SOCK_DGRAM)
            with sock:
                sock.sendto(b"\xff" * 7, ("127.0.0.11", 53))
            return await asyncio.to_thread(_in_world, world, asker, "self.", "A", False)
        finally:
            server.close()

    assert len(asyncio.run(main()).rr) == 1


def test_the_host_s_resolvers_are_read_from_its_file() -> None:
    text = "# x\nsearch a\nnameserver 10.0.0.1\nnameserver fe80::1%eth0\nnameserver 10.0.0.2\n"
    assert upstream_resolvers(text) == ["10.0.0.1", "fe80::1%eth0", "10.0.0.2"]


def test_a_name_has_the_addresses_of_both_families(controller: NetworkController, world: int) -> None:
    controller.create("six", ipv4=pool("10.202.0.0/24"), ipv6=pool("fd00:1::/64"), has_ipv6=True)
    asker, web = attach(controller, "a", "six", "a"), attach(controller, "b", "six", "web")
    v4, v6, both = served(
        controller, world, asker, ("web.", "A", False), ("web.", "AAAA", False), ("web.", "ANY", True)
    )
    (endpoint,) = web.endpoints
    assert endpoint.address6
    wanted = {QTYPE.A: str(endpoint.address.ip), QTYPE.AAAA: str(endpoint.address6.ip)}
    assert {rr.rtype: str(rr.rdata) for rr in both.rr} == wanted
    for reply, kind in ((v4, QTYPE.A), (v6, QTYPE.AAAA)):
        assert {rr.rtype: str(rr.rdata) for rr in reply.rr} == {kind: wanted[kind]}


def test_a_name_server_s_rules_are_replaced_only_where_there_are_some(
    controller: NetworkController, world: int
) -> None:
    """The kernel keeps whoever deletes a table waiting, so that the first name server of a namespace deletes none."""
    controller.create("one", ipv4=pool("10.202.0.0/24"))
    asker = attach(controller, "a", "one", "self")
    with netns.inside(asker.netns_fd, world):
        watch = TableWatch("cove_dns")
    with contextlib.closing(watch):
        for is_replaced in (False, True, True):
            (reply,) = served(controller, world, asker, ("self.", "A", False))
            assert [str(rr.rdata) for rr in reply.rr] == [str(asker.endpoints[0].address.ip)]
            assert watch.was_deleted() is is_replaced
