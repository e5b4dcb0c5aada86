"""Networks with IPv6, and published ports on IPv6 addresses, in a separate network namespace with real TCP and UDP."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import IPv6Address, IPv6Interface, IPv6Network
from pathlib import Path

import pytest

from tests.networks.peers import any_port, attach, client, pool, reach, server
from tests.support.limits import HANG_S
from tests.support.waiting import wait_until
from vmagent.errors import BadRequest, EngineError, Forbidden
from vmagent.linux import netlink, netns
from vmagent.networks.controller import NetworkController
from vmagent.networks.model import EndpointRequest, Network, PortRequest, PublishedPort

V6, V4 = socket.AF_INET6, socket.AF_INET


@pytest.fixture
def six(controller: NetworkController) -> Network:
    """A network with an IPv6 subnet that the engine has chosen."""
    return controller.create("six", ipv4=pool("10.202.0.0/24"), has_ipv6=True)


def relays() -> list[int]:
    """The relays among this process's children."""
    children = [pid for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()]
    return [int(pid) for pid in children if Path(f"/proc/{pid}/comm").read_text().strip() == "cove-relay"]


def test_an_endpoint_has_a_unique_local_address_and_a_default_route(
    controller: NetworkController, six: Network, world: int
) -> None:
    assert six.ipv6 is not None
    assert six.ipv6.subnet.prefixlen == 64
    assert six.ipv6.subnet.overlaps(IPv6Network("fd00::/8"))
    other = controller.create("other", has_ipv6=True)
    assert other.ipv6 is not None
    assert not other.ipv6.subnet.overlaps(six.ipv6.subnet)
    (endpoint,) = attach(controller, "a", network="six").endpoints
    assert endpoint.address6 == IPv6Interface((six.ipv6.subnet[2], 64))
    assert endpoint.gateway6 == six.ipv6.subnet[1]
    sandbox = controller.sandbox("a")
    assert sandbox is not None
    with netns.inside(sandbox.netns_fd, world), netlink.NetlinkSocket() as inner:
        assert (2, endpoint.address6) in inner.addresses()


def test_an_address_can_be_asked_for(controller: NetworkController) -> None:
    controller.create("six", ipv6=pool("fd00:1::/64"), has_ipv6=True)
    wanted = IPv6Address("fd00:1::abcd")
    (endpoint,) = attach(controller, "a", network="six", address6=wanted).endpoints
    assert endpoint.address6 is not None
    assert endpoint.address6.ip == wanted
    with pytest.raises(EngineError, match="Address already in use"):
        attach(controller, "b", network="six", address6=wanted)
    with pytest.raises(BadRequest, match="no configured subnet contains IP address fd00:2::1"):
        attach(controller, "b", network="six", address6=IPv6Address("fd00:2::1"))
    with pytest.raises(BadRequest, match="no configured subnet contains"):
        attach(controller, "b", address6=wanted)  # the default bridge has no IPv6
    with pytest.raises(Forbidden, match="Pool overlaps"):
        controller.create("more", ipv6=pool("fd00:1::/80"), has_ipv6=True)
    controller.release("a")
    attach(controller, "b", network="six", address6=wanted)


def test_two_containers_and_the_host_reach_each_other(controller: NetworkController, six: Network, world: int) -> None:
    one, two = attach(controller, "a", network="six"), attach(controller, "b", network="six")
    assert one.endpoints[0].address6
    assert two.endpoints[0].address6
    assert six.ipv6
    target = (str(one.endpoints[0].address6.ip), 80)
    with server(one, world, 80, "::") as listener:
        assert reach(listener, client(V6), target) == str(six.ipv6.gateway)
        assert reach(listener, client(V6, two, world), target) == str(two.endpoints[0].address6.ip)


def outside(world: int, subnet: str, address: str) -> tuple[int, netlink.NetlinkSocket]:
    """A namespace beyond the host, linked to it: a machine on the host's network."""
    beyond = netns.create(world)
    with netns.inside(beyond, world):
        inner = netlink.NetlinkSocket()
    with netlink.NetlinkSocket() as sock:
        sock.send(netlink.add_bridge("lan0"))
        lan = socket.if_nametoindex("lan0")
        sock.send(netlink.add_veth("lan1", peer="eth0", peer_ns=beyond, peer_mac="02:00:00:00:00:02", master=lan))
        sock.send(netlink.add_address(lan, IPv6Interface(f"{subnet}1/64")), netlink.set_link(lan, up=True))
    inner.send(netlink.set_link(1, up=True), netlink.set_link(2, up=True))
    inner.send(netlink.add_address(2, IPv6Interface(f"{address}/64")))
    return beyond, inner


@pytest.fixture
def beyond(world: int) -> Iterator[int]:
    """A namespace at 2001:db8::2, next to the host's 2001:db8::1."""
    fd, inner = outside(world, "2001:db8::", "2001:db8::2")
    yield fd
    with netlink.NetlinkSocket() as sock:
        sock.send(netlink.delete_link(socket.if_nametoindex("lan1")))
        sock.send(netlink.delete_link(socket.if_nametoindex("lan0")))
    inner.close()
    os.close(fd)


def test_what_leaves_is_masqueraded(controller: NetworkController, six: Network, world: int, beyond: int) -> None:
    sandbox = attach(controller, "a", network="six")
    with netns.inside(beyond, world):
        listener = socket.create_server(("2001:db8::2", 80), family=V6)
    listener.settimeout(HANG_S)
    with listener:
        assert reach(listener, client(V6, sandbox, world), ("2001:db8::2", 80)) == "2001:db8::1"


def test_others_reach_published_ports_only(
    controller: NetworkController, six: Network, world: int, beyond: int
) -> None:
    sandbox = attach(controller, "a", any_port(80, "::"), network="six")
    address6 = sandbox.endpoints[0].address6
    assert address6
    with netns.inside(beyond, world):
        route = netlink.NetlinkSocket()
    with route:
        route.send(netlink.set_default_route(IPv6Address("2001:db8::1")))
    with server(sandbox, world, 80, "::") as listener:
        with netns.inside(beyond, world):
            through, direct = socket.socket(V6), socket.socket(V6)
        assert reach(listener, through, ("2001:db8::1", sandbox.ports[0].host_port)) == "2001:db8::2"
        with direct:
            direct.settimeout(0.3)  # the packets are dropped
            with pytest.raises(TimeoutError):
                direct.connect((str(address6.ip), 80))


def test_networks_are_walled_off_from_each_other(controller: NetworkController, six: Network, world: int) -> None:
    controller.create("other", ipv6=pool("fd00:9::/64"), has_ipv6=True)
    controller.create("closed", ipv6=pool("fd00:8::/64"), has_ipv6=True, internal=True)
    one, two = attach(controller, "a", network="six"), attach(controller, "b", network="other")
    three = attach(controller, "c", network="closed")
    address6 = one.endpoints[0].address6
    assert address6
    assert three.endpoints[0].gateway6 is None
    with server(one, world, 80, "::"):
        for sandbox in (two, three):
            with client(V6, sandbox, world) as sock:
                sock.settimeout(0.3)
                with pytest.raises(TimeoutError):
                    sock.connect((str(address6.ip), 80))


@pytest.mark.parametrize("network", ["bridge", "six"])
def test_a_port_without_an_address_answers_on_both_families(
    controller: NetworkController, six: Network, world: int, network: str
) -> None:
    sandbox = attach(controller, "a", any_port(80, ""), network=network)
    first, second = sandbox.ports
    assert (str(first.host_ip), str(second.host_ip)) == ("0.0.0.0", "::")
    assert first.host_port == second.host_port
    with server(sandbox, world, 80, "::") as listener:
        for family, host in ((V4, "127.0.0.1"), (V6, "::1")):
            reach(listener, client(family), (host, first.host_port))
        gateways = [pool.gateway for pool in controller.find(network).pools]
        for gateway in gateways:  # by itself, as from any other container
            reach(listener, client(V6 if gateway.version == 6 else V4, sandbox, world), (str(gateway), first.host_port))


def test_a_number_that_is_taken_on_one_family_is_not_given(controller: NetworkController, world: int) -> None:
    with socket.create_server(("::1", 0), family=V6) as other:
        taken = other.getsockname()[1]
        wanted = PortRequest.from_api("80/tcp", {"HostIp": "", "HostPort": str(taken)})
        with pytest.raises(EngineError, match=rf"for \[::\]:{taken}/tcp: address already in use"):
            attach(controller, "a", wanted)
        ranged = PortRequest.from_api("80/tcp", {"HostIp": "", "HostPort": f"{taken}-{taken + 20}"})
        sandbox = attach(controller, "b", ranged)
        assert taken < sandbox.ports[0].host_port == sandbox.ports[1].host_port
    assert attach(controller, "c", wanted).ports[0].host_port == taken  # nothing was held of the first try


@pytest.mark.parametrize("host_ip", ["::", "::1"])
def test_a_container_without_ipv6_is_reached_by_it(controller: NetworkController, world: int, host_ip: str) -> None:
    sandbox = attach(controller, "a", any_port(80, host_ip))
    (port,) = sandbox.ports
    assert str(port.host_ip) == host_ip
    assert not relays(), "it is started with the first client"
    with server(sandbox, world, 80) as listener:
        for _ in range(3):
            assert reach(listener, client(V6), ("::1", port.host_port)) == "10.201.0.1"
    assert len(relays()) == 1


def ask_udp(family: int, address: tuple[str, int], question: bytes) -> bytes:
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(HANG_S)
        sock.connect(address)
        sock.send(question)
        return sock.recv(100)


@pytest.mark.parametrize("network", ["bridge", "six"])
def test_datagrams_are_passed_on(controller: NetworkController, six: Network, world: int, network: str) -> None:
    sandbox = attach(controller, "a", any_port(53, "", "udp"), network=network)
    with netns.inside(sandbox.netns_fd, world):
        echo = socket.socket(V6, socket.SOCK_DGRAM)
    echo.bind(("::", 53))
    echo.settimeout(HANG_S)

    def serve() -> None:
        for _ in range(4):
            data, peer = echo.recvfrom(100)
            echo.sendto(data.upper(), peer)

    with echo:
        thread = threading.Thread(target=serve)
        thread.start()
        for question in (b"one", b"two"):
            assert ask_udp(V6, ("::1", sandbox.ports[1].host_port), question) == question.upper()
            assert ask_udp(V4, ("127.0.0.1", sandbox.ports[0].host_port), question) == question.upper()
        thread.join(HANG_S)


def test_all_of_a_long_transfer_arrives_both_ways_and_each_side_ends_by_itself(
    controller: NetworkController, world: int
) -> None:
    sandbox = attach(controller, "a", any_port(80, "::1"))
    sent, back = os.urandom(3 << 20), os.urandom(5 << 20)
    got: list[bytes] = []

    def read_all(sock: socket.socket) -> bytes:
        parts = []
        while data := sock.recv(1 << 16):
            parts.append(data)
        return b"".join(parts)

    with server(sandbox, world, 80) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(HANG_S)
                got.append(read_all(connection))  # until the client has ended its half
                connection.sendall(back)

        thread = threading.Thread(target=serve)
        thread.start()
        with client(V6) as sock:
            sock.settimeout(HANG_S)
            sock.connect(("::1", sandbox.ports[0].host_port))
            sock.sendall(sent)
            sock.shutdown(socket.SHUT_WR)
            assert read_all(sock) == back
        thread.join(HANG_S)
    assert got == [sent]


@pytest.mark.logs("relay.ended")
def test_a_relay_that_was_killed_is_replaced(controller: NetworkController, world: int) -> None:
    sandbox = attach(controller, "a", any_port(80, "::1"))
    with server(sandbox, world, 80) as listener:
        reach(listener, client(V6), ("::1", sandbox.ports[0].host_port))
        (killed,) = relays()
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: killed not in relays())
        reach(listener, client(V6), ("::1", sandbox.ports[0].host_port))
        later = attach(controller, "b", any_port(80, "::1"))  # while it runs
        with server(later, world, 80) as other:
            reach(other, client(V6), ("::1", later.ports[0].host_port))
        assert len(relays()) == 1


@pytest.mark.logs("relay.not_started")
def test_ports_are_published_while_the_relay_can_t_start(
    controller: NetworkController, world: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused, published = threading.Event(), threading.Event()
    in_time: list[bool] = []

    def pause(_: float) -> None:
        monkeypatch.undo()
        paused.set()
        in_time.append(published.wait(HANG_S))

    monkeypatch.setattr("vmagent.networks.relaying.time.sleep", pause)
    monkeypatch.setattr(sys, "executable", "/no/such/program")
    sandbox = attach(controller, "a", any_port(80, "::1"))
    with server(sandbox, world, 80) as listener, client(V6) as waiting:
        waiting.settimeout(HANG_S)
        waiting.connect(("::1", sandbox.ports[0].host_port))
        assert paused.wait(HANG_S)
        attach(controller, "b", any_port(80, "::1"))
        published.set()
        accepted, _ = listener.accept()
        with accepted:
            accepted.sendall(b"x")
            assert waiting.recv(1) == b"x"
    assert in_time == [True]


def refused(port: PublishedPort) -> bool:
    with client(V6) as sock:
        sock.settimeout(HANG_S)
        return sock.connect_ex(("::1", port.host_port)) != 0


def test_a_released_port_is_free_and_its_connections_end(controller: NetworkController, world: int) -> None:
    sandbox = attach(controller, "a", any_port(80, "::1"))
    (port,) = sandbox.ports
    with ExitStack() as held:
        listener = held.enter_context(server(sandbox, world, 80))
        sock = held.enter_context(client(V6))
        sock.settimeout(HANG_S)
        sock.connect(("::1", port.host_port))
        accepted = held.enter_context(listener.accept()[0])
        accepted.sendall(b"x")
        assert sock.recv(1) == b"x"
        controller.release("a")
        assert sock.recv(1) == b""
    wait_until(lambda: refused(port))
    again = PortRequest.from_api("80/tcp", {"HostIp": "::1", "HostPort": str(port.host_port)})
    attach(controller, "b", again)


@pytest.mark.parametrize("first", ["bridge", "six"])
def test_ports_stay_alive_in_any_order_of_connect_and_disconnect(
    controller: NetworkController, six: Network, world: int, first: str
) -> None:
    controller.create("closed", internal=True)
    ids = {name: controller.find(name).id for name in ("bridge", "six", "closed")}
    other = "six" if first == "bridge" else "bridge"
    ports = [any_port(80, ""), any_port(80, "::1")]
    sandbox = attach(controller, "a", *ports, network=first)
    numbers = {port.host_port for port in sandbox.ports}
    with server(sandbox, world, 80, "::") as listener:

        def check() -> None:
            assert {port.host_port for port in sandbox.ports} == numbers
            for port in sandbox.ports:
                host = "127.0.0.1" if port.host_ip.version == 4 else "::1"
                reach(listener, client(V4 if port.host_ip.version == 4 else V6), (host, port.host_port))

        check()
        controller.connect("a", EndpointRequest(network_id=ids["closed"]), ports)
        check()
        controller.connect("a", EndpointRequest(network_id=ids[other]), ports)
        check()
        controller.disconnect("a", ids[first])
        check()
        controller.connect("a", EndpointRequest(network_id=ids[first]), ports)
        check()
        controller.disconnect("a", ids[other])
        check()
        before = list(sandbox.ports)
        controller.disconnect("a", ids[first])
        assert sandbox.ports == []
        wait_until(lambda: all(refused(port) for port in before))
        controller.connect("a", EndpointRequest(network_id=ids[other]), ports)
        numbers = {port.host_port for port in sandbox.ports}
        check()
