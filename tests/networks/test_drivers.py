"""The drivers macvlan and ipvlan on a parent interface, reserved addresses, and rules that others have deleted."""

from __future__ import annotations

import socket
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

import pytest

from tests.networks.conftest import BIP
from tests.networks.peers import any_port, attach, client, pool, reach, server
from vmagent.errors import BadRequest, EngineError, Forbidden
from vmagent.linux import netlink
from vmagent.linux.nft import Nft
from vmagent.networks.controller import NetworkController
from vmagent.networks.model import EndpointRequest, Network
from vmagent.paths import DataRoot, ExecRoot

SUBNET = "10.66.0.0/24"


@pytest.fixture
def lan(world: int) -> str:
    """The name of an interface of the host; the machine at its other end is 10.66.0.254, here in the same namespace."""
    with netlink.NetlinkSocket() as sock:
        sock.send(netlink.add_bridge("lan"))
        bridge = socket.if_nametoindex("lan")
        sock.send(
            netlink.add_veth("lan1", peer="lan0", peer_ns=world, peer_mac="02:00:00:00:00:01", master=bridge),
            netlink.set_link(bridge, up=True),
            netlink.add_address(bridge, IPv4Interface("10.66.0.254/24")),
        )
        sock.send(netlink.set_link(socket.if_nametoindex("lan0"), up=True))
    return "lan0"


def macvlan(controller: NetworkController, parent: str, **options: str) -> Network:
    return controller.create("mv", driver="macvlan", ipv4=pool(SUBNET), options={"parent": parent, **options})


def test_containers_are_on_the_parents_network(controller: NetworkController, world: int, lan: str) -> None:
    macvlan(controller, lan)
    one = attach(controller, "a", any_port(80, ""), network="mv", address=IPv4Address("10.66.0.9"))
    two = attach(controller, "b", network="mv")
    (endpoint,) = one.endpoints
    assert endpoint.mac == "02:42:0a:42:00:09"
    assert one.ports == [], "the driver publishes none, as dockerd's"
    with server(one, world, 80) as listener:
        target = ("10.66.0.9", 80)
        assert reach(listener, client(sandbox=two, world=world), target) == str(two.endpoints[0].address.ip)
        assert reach(listener, client(), target) == "10.66.0.254"


def test_an_address_and_its_mac_are_free_at_once(controller: NetworkController, world: int, lan: str) -> None:
    macvlan(controller, lan)
    for _ in range(10):  # the kernel refuses a MAC address that another interface of the parent has
        sandbox = attach(controller, "a", network="mv", address=IPv4Address("10.66.0.9"))
        with server(sandbox, world, 80) as listener:
            reach(listener, client(), ("10.66.0.9", 80))
        controller.release("a")


def test_a_running_container_joins_and_leaves(controller: NetworkController, world: int, lan: str) -> None:
    network = macvlan(controller, lan)
    sandbox = attach(controller, "a", any_port(80, "127.0.0.1"))
    with server(sandbox, world, 80) as listener:
        for _ in range(3):
            endpoint = controller.connect("a", EndpointRequest(network_id=network.id))
            reach(listener, client(), (str(endpoint.address.ip), 80))
            reach(listener, client(), ("127.0.0.1", sandbox.ports[0].host_port))
            controller.disconnect("a", network.id)
    assert [e.interface for e in sandbox.endpoints] == ["eth0"]


@pytest.mark.logs("network.without_parent")
def test_a_network_comes_back_without_its_parent(world: int, tmp_path: Path, lan: str) -> None:
    roots = DataRoot(tmp_path / "data"), ExecRoot(tmp_path / "exec")
    first = NetworkController(*roots, BIP)
    first.open({})
    macvlan(first, lan)
    first.close()
    with netlink.NetlinkSocket() as sock:
        sock.send(netlink.delete_link(socket.if_nametoindex(lan)))
    second = NetworkController(*roots, BIP)
    second.open({})
    try:
        with pytest.raises(EngineError, match="the parent interface lan0 of network mv was not found on the host"):
            attach(second, "a", network="mv")
        attach(second, "b")
        second.remove(second.find("mv").id)
    finally:
        second.close()


def test_wrong_options_have_dockers_words(controller: NetworkController, lan: str) -> None:
    for parent, words in (
        ("nope", "invalid subinterface vlan name nope, example formatting is eth0.10"),
        ("lan0.5000", "vlan id must be between 1-4094 received: 5000"),
        ("lo", "loopback interface is not a valid macvlan parent link"),
    ):
        with pytest.raises(BadRequest, match=words):
            macvlan(controller, parent)
    with pytest.raises(BadRequest, match="macvlan mode 'x' is not valid, 'bridge' mode is the macvlan driver default"):
        macvlan(controller, lan, macvlan_mode="x")
    with pytest.raises(BadRequest, match="ipvlan mode 'x' is not valid, 'l2' mode is the ipvlan driver default"):
        controller.create("iv", driver="ipvlan", options={"parent": lan, "ipvlan_mode": "x"})
    made = macvlan(controller, lan)
    with pytest.raises(Forbidden, match=f"network dm-{made.id[:12]} is already using parent interface lan0"):
        controller.create("iv", driver="ipvlan", options={"parent": lan})


def test_a_static_address_is_given_to_those_only_that_ask_for_it(controller: NetworkController) -> None:
    network = controller.create(
        "small", ipv4=replace(pool("10.88.0.0/29"), auxiliary={"printer": IPv4Address("10.88.0.3")})
    )
    controller.reserve("stopped", {network.id: [IPv4Address("10.88.0.2")]})
    given = {str(attach(controller, name, network="small").endpoints[0].address.ip) for name in "abc"}
    assert given == {"10.88.0.4", "10.88.0.5", "10.88.0.6"}
    with pytest.raises(EngineError, match="no available IPv4 addresses"):
        attach(controller, "d", network="small")
    own = attach(controller, "stopped", network="small", address=IPv4Address("10.88.0.2"))
    assert str(own.endpoints[0].address.ip) == "10.88.0.2"
    controller.release("stopped")
    controller.reserve("stopped", {})
    assert str(attach(controller, "d", network="small").endpoints[0].address.ip) == "10.88.0.2"


@pytest.mark.logs("firewall.repaired")
def test_rules_that_were_flushed_are_made_again(controller: NetworkController, world: int) -> None:
    controller.create("six", ipv6=pool("fd00:1::/64"), has_ipv6=True)
    sandbox = attach(controller, "a", any_port(80, ""), network="six")
    watch = controller.watch()
    try:
        attach(controller, "b", any_port(80, ""))
        assert not watch.was_deleted(), "elements come and go"
        other = Nft()
        other.run("flush ruleset")
        other.close()
        assert watch.was_deleted()
        assert not watch.was_deleted()
        controller.repair()
    finally:
        watch.close()
    with server(sandbox, world, 80, "::") as listener:
        reach(listener, client(), ("127.0.0.1", sandbox.ports[0].host_port))
        gateway = str(sandbox.endpoints[0].gateway6)
        reach(listener, client(socket.AF_INET6), (gateway, sandbox.ports[1].host_port))
