"""A network namespace that stands for the host, and a controller in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from ipaddress import IPv4Interface
from pathlib import Path

import pytest

from vmagent.linux import netlink, netns
from vmagent.networks.controller import NetworkController
from vmagent.paths import DataRoot, ExecRoot

BIP = IPv4Interface("10.201.0.1/24")


@pytest.fixture
def world() -> Iterator[int]:
    """A network namespace that stands for the host; the test's thread is in it."""
    before = netns.current()
    inside = netns.create(before)
    netns.enter(inside)
    try:
        with netlink.NetlinkSocket() as sock:
            sock.send(netlink.set_link(1, up=True))
        yield inside
    finally:
        netns.enter(before)
        os.close(inside)
        os.close(before)


@pytest.fixture
def controller(world: int, tmp_path: Path) -> Iterator[NetworkController]:
    made = NetworkController(DataRoot(tmp_path / "data"), ExecRoot(tmp_path / "exec"), BIP)
    made.open({})
    yield made
    made.close()
