"""The engine's side of ports that a host publishes. The test is the host: it reads each request and gives the reply."""

from __future__ import annotations

import json
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import pytest

from tests.support.limits import HANG_S
from tests.support.waiting import wait_until
from vmagent.networks.forwards import ForwardedPorts
from vmagent.networks.model import PortRequest, Protocol, PublishedPort, Target

TARGET = Target(IPv4Address("172.17.0.2"))
ANYWHERE = IPv4Address("0.0.0.0")


class Connection:
    """One connection of the engine."""

    def __init__(self, end: socket.socket) -> None:
        end.settimeout(HANG_S)
        self._end, self._lines = end, end.makefile("rb")

    def heard(self) -> Any:
        return json.loads(self._lines.readline())

    def synced(self) -> list[int]:
        return [entry["host_port"] for entry in self.heard()["sync"]]

    def say(self, reply: dict[str, Any]) -> None:
        self._end.sendall(json.dumps(reply).encode() + b"\n")

    def has_input(self) -> bool:
        """More requests, or the end."""
        return bool(select.select([self._end], [], [], 0)[0])

    def close(self) -> None:
        self._lines.close()
        self._end.close()


class Host:
    def __init__(self, path: Path) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._listener.settimeout(HANG_S)

    @contextmanager
    def accepted(self) -> Iterator[Connection]:
        connection = Connection(self._listener.accept()[0])
        try:
            yield connection
        finally:
            connection.close()

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path / "ports")
    yield made
    made.close()


@pytest.fixture
def ports(host: Host, tmp_path: Path) -> Iterator[ForwardedPorts]:
    made = ForwardedPorts(tmp_path / "ports")
    yield made
    made.close()


def published(number: int) -> PublishedPort:
    return PublishedPort(container_port=80, protocol=Protocol.TCP, host_ip=ANYWHERE, host_port=number)


def test_a_release_does_not_wait_for_a_host_that_does_not_reply(host: Host, ports: ForwardedPorts) -> None:
    """As in a VM whose host agent has ended: the tunnel's program listens on, and nothing comes back."""
    first, second = ports.hold_again([published(8001), published(8002)], TARGET)
    ports.open()
    with host.accepted() as connection:
        assert connection.synced() == [8001, 8002]
        ports.release([first])
        assert not connection.has_input(), "`release` returns before the engine gives the connection up"
        connection.say({"lost": []})
        assert connection.synced() == [8002], "what was released meanwhile is said before anything else"
        ports.release([second])
        ports.close()


def test_what_the_host_has_published_is_in_the_next_sync(host: Host, ports: ForwardedPorts) -> None:
    """Also where the connection ends with the reply."""
    ports.open()
    request = PortRequest.from_api("80/tcp", {"HostPort": "8001"})
    reserved: list[PublishedPort] = []
    thread = threading.Thread(target=lambda: reserved.extend(ports.reserve([request], TARGET)))
    thread.start()
    with host.accepted() as connection:
        assert connection.synced() == []
        connection.say({"lost": []})
        assert connection.heard()["publish"][0]["first"] == 8001
        connection.say({"host_ports": [8001]})
    with host.accepted() as connection:
        assert connection.synced() == [8001]
        connection.say({"lost": []})
        thread.join()
        shown = [(str(port.host_ip), port.host_port) for port in reserved]
        assert shown == [("0.0.0.0", 8001), ("::", 8001)], "one of the host's ports serves both families"
        ports.close()


def test_what_moves_to_another_address_is_published_anew(host: Host, ports: ForwardedPorts) -> None:
    both = [replace(published(8001), is_anywhere=True, host_ip=ip) for ip in (ANYWHERE, IPv6Address("::"))]
    ports.hold_again(both, TARGET)
    ports.open()
    moved = threading.Thread(target=lambda: ports.aim(both, Target(IPv4Address("172.18.0.9"))))
    with host.accepted() as connection:
        assert connection.synced() == [8001]
        connection.say({"lost": []})
        wait_until(lambda: ports._socket is not None)
        moved.start()
        assert [entry["host_port"] for entry in connection.heard()["unpublish"]] == [8001]
        connection.say({})
        (entry,) = connection.heard()["publish"]
        assert (entry["first"], entry["last"], entry["address"]) == (8001, 8001, "172.18.0.9")
        connection.say({"host_ports": [8001]})
        moved.join(HANG_S)
        ports.close()
