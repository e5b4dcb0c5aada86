"""A running container joins and leaves networks: record and kernel agree, even after kills and failures."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import pytest

from tests.support.engine import NativeEngine
from tests.support.limits import HANG_S
from tests.support.waiting import wait_until
from vmagent.linux.nft import Nft

SLEEPER = ("run", "-d", "--name", "kept", "busybox:latest", "sleep", "1000")


@pytest.fixture
def networks(own_engine: NativeEngine) -> Iterator[NativeEngine]:
    """An engine with the networks one, two and three."""
    for name in ("one", "two", "three"):
        own_engine.docker("network", "create", name)
    yield own_engine
    own_engine.docker("rm", "-f", "kept")


def shown(engine: NativeEngine) -> dict[str, str]:
    """Network → address, from inspect."""
    [found] = json.loads(engine.docker("inspect", "kept").stdout)
    return {name: network["IPAddress"] for name, network in found["NetworkSettings"]["Networks"].items()}


def inside(engine: NativeEngine) -> set[str]:
    """Addresses on the container's interfaces."""
    lines = engine.docker("exec", "kept", "ip", "-4", "-o", "addr", "show").stdout.splitlines()
    return {line.split()[3].partition("/")[0] for line in lines} - {"127.0.0.1"}


def test_an_engine_killed_in_a_connect_or_disconnect_ends_it_later(networks: NativeEngine) -> None:
    """The states on disk between the two steps: a network is recorded but not joined, or joined but not recorded."""
    container_id = networks.docker(*SLEEPER).stdout.strip()
    networks.docker("network", "connect", "two", "kept")
    networks.docker("network", "connect", "three", "kept")
    path = networks.root / "data" / "containers" / container_id / "config.json"
    record = json.loads(path.read_bytes())
    record["endpoints"]["one"] = {"Aliases": ["alias"]}
    del record["endpoints"]["two"]
    path.write_text(json.dumps(record))
    os.kill(networks.pid_of("cove-engine"), signal.SIGKILL)
    networks.wait_until_answering()
    addresses = shown(networks)
    assert addresses.keys() == {"bridge", "one", "three"}
    assert inside(networks) == set(addresses.values())
    assert networks.docker("exec", "kept", "nslookup", "alias").returncode == 0
    networks.docker("network", "rm", "two")


@pytest.mark.logs("container.state_not_saved")  # if the state of the start is written at that moment
def test_what_can_not_be_recorded_is_not_done(networks: NativeEngine) -> None:
    container_id = networks.docker(*SLEEPER).stdout.strip()
    networks.docker("network", "connect", "two", "kept")
    before = shown(networks)
    folder = networks.root / "data" / "containers" / container_id
    subprocess.run(["chattr", "+i", folder], check=True)
    try:
        for verb, name in (("connect", "one"), ("disconnect", "two")):
            refused = networks.docker("network", verb, name, "kept", check=False)
            assert refused.returncode == 1
            assert "record the networks of container kept: Operation not permitted" in refused.stderr
            assert shown(networks) == before
            assert inside(networks) == set(before.values())
    finally:
        subprocess.run(["chattr", "-i", folder], check=True)
    networks.docker("network", "disconnect", "two", "kept")
    assert inside(networks) == {before["bridge"]}
    for name in ("two", "one"):  # at once, and under the name and number of an interface that is being deleted
        networks.docker("network", "connect", name, "kept")
        assert inside(networks) == set(shown(networks).values())
        networks.docker("network", "disconnect", name, "kept")


@pytest.mark.logs("task.failed", "request.failed")
def test_what_the_kernel_refuses_is_not_recorded(networks: NativeEngine) -> None:
    container_id = networks.docker(*SLEEPER).stdout.strip()
    exec_root: Path = networks.root / "exec"
    kept = exec_root / "networks" / f"{container_id}.json"
    before = shown(networks)
    subprocess.run(["chattr", "+i", kept], check=True)  # where the stack notes what the container holds
    try:
        assert networks.docker("network", "connect", "one", "kept", check=False).returncode == 1
        assert networks.docker("network", "disconnect", "bridge", "kept", check=False).returncode == 1
    finally:
        subprocess.run(["chattr", "-i", kept], check=True)
    assert shown(networks) == before
    assert inside(networks) == set(before.values())
    networks.docker("network", "connect", "one", "kept")
    networks.docker("restart", "-t", "0", "kept")
    assert inside(networks) == set(shown(networks).values())


def test_a_static_address_is_kept_for_a_stopped_container(networks: NativeEngine) -> None:
    networks.docker("network", "create", "--subnet", "10.194.0.0/29", "--aux-address", "a=10.194.0.4", "tiny")
    networks.docker("create", "--name", "kept", "--network", "tiny", "--ip", "10.194.0.2", "busybox:latest", "true")
    os.kill(networks.pid_of("cove-engine"), signal.SIGKILL)
    networks.wait_until_answering()
    run = ("run", "-d", "--network", "tiny", "--name")
    for name in ("aa", "bb", "cc"):
        networks.docker(*run, name, "busybox:latest", "sleep", "1000")
    refused = networks.docker(*run, "dd", "busybox:latest", "true", check=False)
    assert "no available IPv4 addresses on this network's address pools" in refused.stderr
    networks.docker("start", "kept")
    networks.docker("rm", "-f", "kept")
    networks.docker("start", "dd")
    networks.docker("rm", "-f", "aa", "bb", "cc", "dd")
    networks.docker("network", "rm", "tiny")


@pytest.mark.logs("firewall.repaired")
def test_rules_that_another_program_deletes_come_back(networks: NativeEngine) -> None:
    table = f"cove_{sha256(str(networks.root / 'exec').encode()).hexdigest()[:8]}"
    echo = ("busybox:latest", "nc", "-ll", "-p", "80", "-e", "cat")
    networks.docker("run", "-d", "--name", "kept", "-p", "127.0.0.1::80", *echo)
    port = int(networks.docker("port", "kept", "80").stdout.rpartition(":")[2])

    def answers() -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), HANG_S) as sock:
            sock.settimeout(0.5)
            sock.sendall(b"x")
            return sock.recv(1) == b"x"
        return False

    wait_until(answers)
    other = Nft()
    try:
        before = other.run(f"list table ip {table}")
        other.run(f"delete table ip {table}")  # not `flush ruleset`: other engines have tables here
        wait_until(answers)
        assert other.run(f"list table ip {table}") == before
    finally:
        other.close()
