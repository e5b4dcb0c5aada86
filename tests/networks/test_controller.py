"""The network controller in a separate network namespace, with real bridges, NAT and TCP."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

import pytest

from tests.networks.peers import any_port, attach, pool, reach, server
from tests.support.limits import HANG_S
from vmagent.errors import BadRequest, Conflict, EngineError, Forbidden, NotFound
from vmagent.linux import conntrack, netlink, netns
from vmagent.linux.nft import Nft, NftError
from vmagent.networks.controller import NetworkController
from vmagent.networks.disposer import Disposer
from vmagent.networks.ipam import Leases
from vmagent.networks.model import EndpointRequest, PortRequest, Target
from vmagent.paths import DataRoot, ExecRoot

BIP = IPv4Interface("10.201.0.1/24")


def test_an_endpoint_has_its_address_mac_and_default_route(controller: NetworkController, world: int) -> None:
    sandbox = attach(controller, "a")
    (endpoint,) = sandbox.endpoints
    assert endpoint.address == IPv4Interface("10.201.0.2/24")
    assert endpoint.mac == "02:42:0a:c9:00:02"
    with netns.inside(sandbox.netns_fd, world), netlink.NetlinkSocket() as inner:
        assert {link.name for link in inner.links()} == {"lo", "eth0"}
        assert (2, endpoint.address) in inner.addresses()


def test_two_containers_and_the_host_reach_each_other(controller: NetworkController, world: int) -> None:
    one, two = attach(controller, "a"), attach(controller, "b")
    with server(one, world, 80) as listener:
        target = (str(one.endpoints[0].address.ip), 80)
        assert reach(listener, socket.socket(), target) == "10.201.0.1"
        with netns.inside(two.netns_fd, world):
            neighbour = socket.socket()
        assert reach(listener, neighbour, target) == str(two.endpoints[0].address.ip)


@pytest.mark.parametrize("host_ip", ["127.0.0.1", "0.0.0.0"])
def test_a_published_port_answers_on_loopback(controller: NetworkController, world: int, host_ip: str) -> None:
    sandbox = attach(controller, "a", any_port(80, host_ip))
    with server(sandbox, world, 80) as listener:
        assert reach(listener, socket.socket(), ("127.0.0.1", sandbox.ports[0].host_port)) == "10.201.0.1"


def test_a_container_reaches_itself_by_its_published_port(controller: NetworkController, world: int) -> None:
    sandbox = attach(controller, "a", any_port(80, "0.0.0.0"))
    with server(sandbox, world, 80) as listener:
        with netns.inside(sandbox.netns_fd, world):
            client = socket.socket()
        reach(listener, client, (str(BIP.ip), sandbox.ports[0].host_port))


def test_a_port_that_the_firewall_has_lost_is_added_again_while_its_container_runs(
    controller: NetworkController,
) -> None:
    attach(controller, "a", any_port(80))
    [rule] = controller.rules("a").values()
    assert rule is not None
    deletion = f"delete element {rule.text.partition(' : ')[0]} }}"
    nft = Nft()
    nft.run(deletion)
    (fault,) = controller.faults()
    assert fault.mend is not None
    fault.mend()
    assert controller.faults() == []
    nft.run(deletion)
    nft.close()
    (fault,) = controller.faults()
    assert fault.mend is not None
    controller.release("a")
    fault.mend()  # too late
    assert controller.faults() == []


def test_a_port_that_is_taken_is_refused_and_nothing_stays_behind(controller: NetworkController, world: int) -> None:
    first = attach(controller, "a", any_port(80))
    taken = first.ports[0].host_port
    again = PortRequest.from_api("80/tcp", {"HostIp": "127.0.0.1", "HostPort": str(taken)})
    with pytest.raises(EngineError, match=rf"Bind for 127\.0\.0\.1:{taken} failed: port is already allocated"):
        attach(controller, "b", again)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        foreign = PortRequest.from_api("80/tcp", {"HostIp": "127.0.0.1", "HostPort": str(other.getsockname()[1])})
        with pytest.raises(EngineError, match="address already in use"):
            attach(controller, "c", foreign)
    assert list(controller.endpoints_on(controller.find("bridge").id)) == ["a"]
    assert attach(controller, "d").endpoints  # the addresses of b and c were given back


def test_a_released_container_answers_no_more_and_its_interface_goes(controller: NetworkController, world: int) -> None:
    sandbox = attach(controller, "a", any_port(80))
    with server(sandbox, world, 80):
        controller.release("a")
        with socket.socket() as client:
            client.settimeout(0.5)
            with pytest.raises(OSError):  # noqa: PT011 - refused or unreachable, as timing has it
                client.connect((str(sandbox.endpoints[0].address.ip), 80))
    again = PortRequest.from_api("80/tcp", {"HostIp": "127.0.0.1", "HostPort": str(sandbox.ports[0].host_port)})
    assert attach(controller, "b", again).ports == sandbox.ports


def test_a_namespace_made_beforehand_becomes_the_next_containers(
    controller: NetworkController, world: int, tmp_path: Path
) -> None:
    before = namespaces_held()
    controller.prepare()
    controller.prepare()
    made = namespaces_held() - before
    assert len(made) == 1
    sandbox = attach(controller, "a")
    assert {os.fstat(sandbox.netns_fd).st_ino} == made
    with server(sandbox, world, 80) as listener:
        peer = reach(listener, socket.socket(), (str(sandbox.endpoints[0].address.ip), 80))
    assert peer == str(sandbox.endpoints[0].gateway)
    assert len(namespaces_held() - before - made) == 0
    assert os.fstat(attach(controller, "b").netns_fd).st_ino not in made
    assert controller.attach_prepared("c") is None
    controller.prepare()
    lonely = controller.attach_prepared("c")
    assert lonely is not None
    record = tmp_path / "exec/networks/c.json"
    assert record.exists()
    controller.release("c")
    assert not record.exists()
    record.write_text("{}")  # as a change of its networks leaves it that comes after the end
    controller.prepare()
    assert controller.attach_prepared("c") is not None
    assert not record.read_bytes()
    controller.release("c")
    controller.prepare()  # one that is never used ends with the controller
    controller.close()
    assert namespaces_held() <= before
    controller.open({})  # for the fixture to close


def namespaces_held() -> set[int]:
    """The network namespaces that this process holds by descriptor."""
    held = set()
    for fd in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # the listing's own
            if os.readlink(f"/proc/self/fd/{fd}").startswith("net:["):
                held.add(os.stat(f"/proc/self/fd/{fd}").st_ino)
    return held


def test_networks_are_walled_off_from_each_other(controller: NetworkController, world: int) -> None:
    other = controller.create("other", ipv4=pool("10.202.0.0/24"))
    one, two = attach(controller, "a"), attach(controller, "b", network=other.name)
    with server(one, world, 80), netns.inside(two.netns_fd, world):
        client = socket.socket()
    with client:
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.connect((str(one.endpoints[0].address.ip), 80))


def test_a_running_container_is_connected_and_disconnected(controller: NetworkController, world: int) -> None:
    other = controller.create("other", ipv4=pool("10.202.0.0/24"))
    sandbox = attach(controller, "a")
    added = controller.connect("a", EndpointRequest(network_id=other.id))
    assert added.interface == "eth1"
    with pytest.raises(Forbidden, match="already exists in network other"):
        controller.connect("a", EndpointRequest(network_id=other.id))
    with pytest.raises(Forbidden, match="active endpoints"):
        controller.remove(other.id)
    controller.disconnect("a", other.id)
    assert [e.interface for e in sandbox.endpoints] == ["eth0"]
    controller.remove(other.id)
    with pytest.raises(NotFound):
        controller.find("other")


def test_names_and_subnets_are_taken_once(controller: NetworkController) -> None:
    controller.create("one", ipv4=pool("10.202.0.0/24"))
    with pytest.raises(Conflict, match="network with name one already exists"):
        controller.create("one")
    with pytest.raises(Forbidden, match="Pool overlaps"):
        controller.create("two", ipv4=pool("10.202.0.128/25"))
    with pytest.raises(Forbidden, match="pre-defined"):
        controller.remove(controller.find("host").id)


def test_a_network_that_is_gone_meanwhile_is_not_found(controller: NetworkController, world: int) -> None:
    gone = controller.create("gone")
    controller.remove(gone.id)
    with pytest.raises(NotFound, match=f"network {gone.id} not found"):
        controller.remove(gone.id)
    with pytest.raises(NotFound, match=f"network {gone.id} not found"):
        controller.attach("a", [EndpointRequest(network_id=gone.id)])
    with netlink.NetlinkSocket() as sock:
        assert {link.name for link in sock.links()} == {"lo", controller.find("bridge").bridge}


@pytest.mark.logs("port.lost")
def test_a_new_engine_takes_over_the_living_and_sweeps_the_dead(world: int, tmp_path: Path) -> None:
    """The living container is this process: its namespace is what /proc/PID/ns/net says."""
    roots = DataRoot(tmp_path / "data"), ExecRoot(tmp_path / "exec")
    killed = NetworkController(*roots, BIP)
    killed.open({})
    living, dead = attach(killed, "living", any_port(80), any_port(81)), attach(killed, "dead")
    half_made = roots[1].networks / ".x.json.abc_def1.tmp"
    half_made.touch()
    with ExitStack() as cleanup:
        listener = cleanup.enter_context(server(living, world, 80))
        # As after a SIGKILL: descriptors are closed, the kernel's objects stay.
        killed._ports.close()
        squatter = cleanup.enter_context(socket.socket())  # quicker than the next engine
        squatter.bind(("127.0.0.1", living.ports[1].host_port))
        squatter.listen()
        netns.enter(living.netns_fd)
        heir = NetworkController(*roots, BIP)
        pid = os.getpid()
        # `alive` has pids: the main thread is in the container's namespace while a thread opens the new one.
        errors: list[BaseException] = []

        def open_heir() -> None:
            netns.enter(world)
            try:
                heir.open({"living": pid})
            except BaseException as e:  # noqa: BLE001 - told to the test's thread
                errors.append(e)

        thread = threading.Thread(target=open_heir)
        thread.start()
        thread.join(HANG_S)
        netns.enter(world)
        assert not errors
        taken = heir.sandbox("living")
        assert taken is not None
        assert taken.endpoints == living.endpoints
        assert taken.ports == living.ports[:1]
        assert heir.sandbox("dead") is None
        assert not half_made.exists()
        reach(listener, socket.socket(), ("127.0.0.1", living.ports[0].host_port))
        heir.close()
        killed._disposer.close()
        killed._netlink.close()
        killed._firewall.close()
        for fd in (killed._home, living.netns_fd, dead.netns_fd):
            os.close(fd)
    with netlink.NetlinkSocket() as sock:
        assert [link.name for link in sock.links()] == ["lo"]


def test_a_new_engine_does_not_mind_an_interface_that_goes_while_it_looks(
    controller: NetworkController, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = netlink.NetlinkSocket.links
    gone = netlink.Link(1 << 30, "gone", 0, master=next(iter(controller._segments.numbers())))
    monkeypatch.setattr(netlink.NetlinkSocket, "links", lambda sock: [*listed(sock), gone])
    controller._restore({})


def test_the_beginning_of_several_ids_is_ambiguous(controller: NetworkController) -> None:
    def digits() -> list[str]:
        return [network.id[0] for network in controller.networks()]

    while len(set(digits())) == len(digits()):  # at the latest the 17th has a first digit that another has too
        controller.create(f"n{len(digits())}")
    shared = next(digit for digit in digits() if digits().count(digit) > 1)
    with pytest.raises(BadRequest, match=f"network {shared} is ambiguous"):
        controller.find(shared)


def test_what_a_container_held_is_given_back_whatever_the_kernel_says(
    controller: NetworkController, world: int
) -> None:
    port = any_port(80)
    sandbox = attach(controller, "a", port)
    number = sandbox.ports[0].host_port
    nft = Nft()  # replaces our map by something else, as a user might
    nft.run(
        f"""
        delete table ip {controller._table}
        add table ip {controller._table}
        add map ip {controller._table} one_address {{ type ipv4_addr : ipv4_addr; }}
        """
    )
    nft.close()
    with pytest.raises(NftError):
        controller.release("a")
    assert controller.sandbox("a") is None
    with socket.socket() as free:
        free.bind(("127.0.0.1", number))
    assert controller.endpoints_on(controller.find("bridge").id) == {}
    assert not (controller._exec_root.networks / "a.json").exists()


@pytest.mark.logs("endpoints.stay")
def test_the_disposer_goes_on_after_what_the_kernel_refuses(world: int) -> None:
    sock = netlink.NetlinkSocket()
    disposer = Disposer(sock)
    sock.close()  # every request of its fails from here on
    given = os.pipe()
    for fd in given:
        disposer.dispose(fd)
    disposer.close()
    for fd in given:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)


@pytest.mark.logs("network.unreadable")
def test_one_damaged_record_takes_no_other_network_down(world: int, tmp_path: Path) -> None:
    roots = DataRoot(tmp_path / "data"), ExecRoot(tmp_path / "exec")
    with closed_at_end(NetworkController(*roots, BIP)) as first:
        damaged, whole = first.create("damaged"), first.create("whole")
    record = tmp_path / "data" / "networks" / f"{damaged.id}.json"
    record.write_bytes(record.read_bytes()[:20])
    with closed_at_end(NetworkController(*roots, BIP)) as second:
        assert second.find("whole").id == whole.id
        with pytest.raises(NotFound):
            second.find("damaged")
        assert record.exists()


@contextmanager
def closed_at_end(controller: NetworkController) -> Iterator[NetworkController]:
    controller.open({})
    try:
        yield controller
    finally:
        controller.close()


def test_addresses_are_leased_in_turn_and_only_from_the_subnet() -> None:
    leases = Leases(pool("10.0.0.0/29"))
    first = leases.lease()
    leases.release(first)
    assert leases.lease() != first
    with pytest.raises(BadRequest):
        leases.lease(IPv4Address("10.0.1.1"))
    for _ in range(4):
        leases.lease()
    with pytest.raises(EngineError, match="no available IPv4 addresses"):
        leases.lease()


@pytest.mark.parametrize("port", ["x/tcp", "80/sctp", "99999/tcp"])
def test_a_bad_port_is_refused(port: str) -> None:
    with pytest.raises(BadRequest, match="invalid port specification"):
        PortRequest.from_api(port, None)


def test_flows_that_do_not_lead_to_the_container_are_forgotten_later(controller: NetworkController, world: int) -> None:
    """A sender whose entry was made by older rules, and came after the port was published."""
    sandbox = attach(controller, "a", any_port(53, "127.0.0.1", "udp"))
    (port,) = sandbox.ports
    with netns.inside(sandbox.netns_fd, world):
        inside = socket.socket(type=socket.SOCK_DGRAM)
    with inside, socket.socket(type=socket.SOCK_DGRAM) as sender, socket.socket(type=socket.SOCK_DGRAM) as right:
        inside.bind(("0.0.0.0", 53))
        inside.settimeout(HANG_S)
        controller._firewall.unpublish(sandbox.ports)
        sender.sendto(b"astray", ("127.0.0.1", port.host_port))
        controller._firewall.publish(sandbox.ports, Target(sandbox.endpoints[0].address.ip))
        right.sendto(b"right", ("127.0.0.1", port.host_port))
        assert inside.recv(64) == b"right"
        sender.sendto(b"astray still", ("127.0.0.1", port.host_port))
        controller.forget_stray_flows("a")
        sender.sendto(b"found", ("127.0.0.1", port.host_port))
        assert inside.recv(64) == b"found"
        assert conntrack.forget_udp({port.host_port}) == 2, "the entry that leads to the container was not touched"
