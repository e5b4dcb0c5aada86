"""IPv6 as clients of the engine see it: networks, names, addresses, and published ports."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import suppress
from functools import partial

import pytest

from tests.support.engine import NativeEngine
from tests.support.limits import HANG_S
from tests.support.waiting import wait_until

SERVER = ("busybox:latest", "nc", "-ll", "-p", "80", "-e", "echo", "hello")
ECHO = ("busybox:latest", "nc", "-ll", "-p", "80", "-e", "cat")
NAME = "ipv6-test"


@pytest.fixture
def clean(engine: NativeEngine) -> Iterator[NativeEngine]:
    yield engine
    engine.docker("rm", "-f", NAME, check=False)
    engine.docker("network", "rm", NAME, check=False)


def answers(host: str, port: int) -> bool:
    """Whether a server of a container is behind the port: the engine's own socket accepts connections, too."""
    with suppress(OSError), socket.create_connection((host, port), HANG_S) as sock:
        sock.settimeout(HANG_S)
        return sock.recv(5) == b"hello"
    return False


def published(engine: NativeEngine) -> list[tuple[str, int]]:
    """(address, number) of each binding of port 80."""
    lines = engine.docker("port", NAME, "80").stdout.split()
    return [(host.strip("[]"), int(number)) for host, _, number in (line.rpartition(":") for line in lines)]


def test_a_port_is_published_on_both_families_with_one_number(clean: NativeEngine) -> None:
    clean.docker("run", "-d", "--name", NAME, "-p", "80", *SERVER)
    (first, number), (second, same) = published(clean)
    assert (first, second, number) == ("0.0.0.0", "::", same)
    for host in ("127.0.0.1", "::1"):
        wait_until(partial(answers, host, number))


@pytest.mark.parametrize("address", ["::1", "::"])
def test_a_port_is_published_on_an_ipv6_address(clean: NativeEngine, address: str) -> None:
    clean.docker("run", "-d", "--name", NAME, "-p", f"[{address}]::80", "-p", "127.0.0.1::80", *SERVER)
    found = dict(published(clean))
    assert found.keys() == {address, "127.0.0.1"}
    wait_until(lambda: answers("::1", found[address]))
    wait_until(lambda: answers("127.0.0.1", found["127.0.0.1"]))
    listed = clean.docker("ps", "--filter", f"name={NAME}", "--format", "{{.Ports}}").stdout
    assert f"{address}:{found[address]}->80/tcp" in re.sub(r"[][]", "", listed)  # newer clients show brackets


def test_ports_and_connections_outlive_a_killed_engine(own_engine: NativeEngine) -> None:
    own_engine.docker("run", "-d", "--name", NAME, "-p", "[::1]::80", *ECHO)
    [(_, number)] = published(own_engine)

    def echo(sock: socket.socket, text: bytes) -> bool:
        sock.sendall(text)
        return sock.recv(len(text)) == text

    def connected() -> socket.socket:
        return socket.create_connection(("::1", number), HANG_S)

    with connected() as kept:
        assert echo(kept, b"before")
        os.kill(own_engine.pid_of("cove-engine"), signal.SIGKILL)
        own_engine.wait_until_answering()
        assert echo(kept, b"after")
        with connected() as other:
            assert echo(other, b"new")
    own_engine.docker("rm", "-f", NAME)


def test_a_network_with_ipv6_has_names_addresses_and_shapes(clean: NativeEngine) -> None:
    subnets = ("--subnet", "10.197.0.0/24", "--subnet", "fd00:197::/64", "--aux-address", "router=fd00:197::5")
    clean.docker("network", "create", "--ipv6", *subnets, NAME)
    [network] = json.loads(clean.docker("network", "inspect", NAME).stdout)
    assert network["EnableIPv6"] is True
    assert network["IPAM"]["Config"] == [
        {"Subnet": "10.197.0.0/24", "Gateway": "10.197.0.1"},
        {"Subnet": "fd00:197::/64", "Gateway": "fd00:197::1", "AuxiliaryAddresses": {"router": "fd00:197::5"}},
    ]
    clean.docker("run", "-d", "--name", NAME, "--network", NAME, "--ip6", "fd00:197::77", "-p", "80", *SERVER)
    [found] = json.loads(clean.docker("inspect", NAME).stdout)
    endpoint = found["NetworkSettings"]["Networks"][NAME]
    shown = {key: endpoint[key] for key in ("GlobalIPv6Address", "GlobalIPv6PrefixLen", "IPv6Gateway")}
    assert shown == {"GlobalIPv6Address": "fd00:197::77", "GlobalIPv6PrefixLen": 64, "IPv6Gateway": "fd00:197::1"}
    [network] = json.loads(clean.docker("network", "inspect", NAME).stdout)
    assert network["Containers"][found["Id"]]["IPv6Address"] == "fd00:197::77/64"
    assert "fd00:197::77" in clean.docker("exec", NAME, "cat", "/etc/hosts").stdout
    asked = clean.docker("run", "--rm", "--network", NAME, "busybox:latest", "nslookup", "-type=aaaa", NAME)
    assert "Address: fd00:197::77" in asked.stdout
    wait_until(lambda: answers("::1", published(clean)[0][1]))
    clean.docker("restart", "-t", "0", NAME)
    wait_until(lambda: answers("::1", published(clean)[0][1]))


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--network", NAME, "--ip6", "bogus"), "invalid IPv6 address: bogus"),
        (("--network", NAME, "--ip6", "fd00:198::1"), "no configured subnet contains IP address fd00:198::1"),
        (("--network", NAME, "--ip6", "fd00:197::1"), "Address already in use"),
        (("--ip6", "fd00:197::9"), "user specified IP address is supported on user defined networks only"),
    ],
)
def test_wrong_addresses_are_refused(clean: NativeEngine, flags: tuple[str, ...], words: str) -> None:
    clean.docker("network", "create", "--ipv6", "--subnet", "fd00:197::/64", NAME)
    refused = clean.docker("run", "--name", NAME, *flags, "busybox:latest", "true", check=False)
    assert refused.returncode == 125
    assert words in refused.stderr


def test_a_bridge_has_one_subnet_of_a_family(clean: NativeEngine) -> None:
    for subnets in (("10.197.0.0/24", "10.198.0.0/24"), ("fd00:197::/64", "fd00:198::/64")):
        flags = [word for subnet in subnets for word in ("--subnet", subnet)]
        refused = clean.docker("network", "create", "--ipv6", *flags, NAME, check=False)
        assert "bridge driver doesn't support multiple subnets" in refused.stderr
