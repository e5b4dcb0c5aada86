"""How containers resolve names: the host's name, by the host's resolvers, and by a resolv.conf that a user edited."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from dnslib import QTYPE, RR, A, DNSRecord

from tests.support.engine import NativeEngine

IMAGE = "busybox:latest"


class Resolver:
    """A name server that has the same address for every name, and none of IPv6."""

    def __init__(self, host: str, answer: str) -> None:
        self.host, self._answer = host, answer
        self._socket = socket.socket(type=socket.SOCK_DGRAM)
        self._socket.bind((host, 53))
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            data, client = self._socket.recvfrom(4096)
            if not data:
                return
            query = DNSRecord.parse(data)
            reply = query.reply()
            if query.q.qtype == QTYPE.A:
                reply.add_answer(RR(query.q.qname, QTYPE.A, ttl=0, rdata=A(self._answer)))
            self._socket.sendto(reply.pack(), client)

    def close(self) -> None:
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.sendto(b"", (self.host, 53))
        self._thread.join()
        self._socket.close()


class _WithResolvers(NativeEngine):
    """One that sees the file `resolv` as the host's /etc/resolv.conf."""

    def __init__(self, resolv: Path, *flags: str) -> None:
        super().__init__(*flags)
        command = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
        self.prefix = ("unshare", "-m", "sh", "-c", command, resolv)


@pytest.fixture(scope="module")
def resolvers() -> Iterator[tuple[Resolver, Resolver]]:
    with ExitStack() as stack:
        made = [
            Resolver(f"127.9.{os.getpid() % 250}.{number}", f"192.0.2.{number}") for number in (1, 2)
        ]  # fmt: skip
        for resolver in made:
            stack.callback(resolver.close)
        yield made[0], made[1]


@pytest.fixture(scope="module")
def resolv(resolvers: tuple[Resolver, Resolver], tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("host") / "resolv.conf"
    file.write_text(f"nameserver {resolvers[0].host}\n")
    return file


@pytest.fixture(scope="module")
def resolving(resolv: Path, busybox_tar: Path) -> Iterator[NativeEngine]:
    engine = _WithResolvers(resolv)
    engine.start()
    try:
        engine.docker("import", "-c", 'CMD ["sh"]', "-c", "ENV PATH=/bin", str(busybox_tar), IMAGE)
        engine.docker("network", "create", "own")
        yield engine
    finally:
        engine.stop()


def test_a_running_container_follows_the_host_s_resolvers(
    resolving: NativeEngine, resolv: Path, resolvers: tuple[Resolver, Resolver]
) -> None:
    resolving.docker("run", "-d", "--name", "follows", "--network", "own", IMAGE, "sleep", "600")
    asked = ("exec", "follows", "nslookup", "-type=a", "a.example.")
    assert "192.0.2.1" in resolving.docker(*asked).stdout
    resolv.write_text(f"nameserver {resolvers[1].host}\n")
    assert "192.0.2.2" in resolving.docker(*asked).stdout
    resolving.docker("rm", "-f", "follows")


def test_a_user_s_edit_of_resolv_conf_outlives_a_restart(resolving: NativeEngine, resolv: Path) -> None:
    resolving.docker("run", "-d", "--name", "edited", IMAGE, "sleep", "600")
    resolving.docker("run", "-d", "--name", "untouched", IMAGE, "sleep", "600")
    resolving.docker("exec", "edited", "sh", "-c", "echo options ndots:3 >>/etc/resolv.conf")
    resolv.write_text(resolv.read_text() + "search changed.example\n")
    resolving.docker("restart", "-t0", "edited", "untouched")
    assert "ndots:3" in resolving.docker("exec", "edited", "cat", "/etc/resolv.conf").stdout
    assert "changed.example" in resolving.docker("exec", "untouched", "cat", "/etc/resolv.conf").stdout
    resolving.docker("rm", "-f", "edited", "untouched")


@pytest.mark.parametrize("name", ["host.docker.internal", "host.cove.internal"])
def test_the_host_has_a_name_that_means_the_network_s_gateway(resolving: NativeEngine, name: str) -> None:
    form = "{{(index .IPAM.Config 0).Gateway}}"
    for network in ("bridge", "own"):
        gateway = resolving.docker("network", "inspect", "-f", form, network).stdout.strip()
        run = ("run", "--rm", "--network", network)
        assert gateway in resolving.docker(*run, IMAGE, "ping", "-c", "1", name).stdout
        chosen = resolving.docker(*run, "--add-host", f"{name}:192.0.2.7", IMAGE, "cat", "/etc/hosts").stdout
        assert [line.split()[0] for line in chosen.splitlines() if name in line] == ["192.0.2.7"]
    assert gateway in resolving.docker(
        *run, "--add-host", "x:host-gateway", IMAGE, "ping", "-c", "1", "x"
    ).stdout  # fmt: skip


def test_the_host_s_address_may_be_given(resolv: Path, busybox_tar: Path) -> None:
    """As in a VM, where the gateway of a container's network is not the machine that the user knows as the host."""
    engine = _WithResolvers(resolv, "--host-gateway-ip", "127.0.0.5")
    engine.start()
    try:
        engine.docker("import", "-c", 'CMD ["sh"]', "-c", "ENV PATH=/bin", str(busybox_tar), IMAGE)
        engine.docker("network", "create", "own")
        for network in ("bridge", "own"):
            for name in ("host.docker.internal", "x"):
                run = ("run", "--rm", "--network", network, "--add-host", "x:host-gateway", IMAGE)
                assert f"PING {name} (127.0.0.5)" in engine.docker(*run, "ping", "-c", "1", name).stdout
    finally:
        engine.stop()
