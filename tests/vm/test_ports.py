"""Published ports of an engine in a VM: the engine asks its host to publish, and the host passes connections on.

Engine, containers, docker CLI and the host's forwarder are the real ones. The engine is in a network namespace instead
of a VM. Instead of the tunnel there is a Unix socket for the engine, and the forwarder connects from that namespace.
The whole way is in test_vm.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from desktop.hostagent.forwarder import PortForwarder
from desktop.platform import platform_for
from desktop.tunnel.transport import Stream, Target, TcpTarget, TunnelError, UdpTarget
from tests.support.engine import NativeEngine
from tests.support.limits import HANG_S
from tests.support.listening import LISTEN, is_echoed
from tests.support.sockets import SocketStream, free_port
from tests.support.waiting import wait_until
from vmagent.linux import netns

IMAGE = "busybox:latest"
TALK = "while :; do echo hello | nc -l -p 80; done"
_T = TypeVar("_T")


class _Direct:
    """An Opener whose connections begin in the network namespace of a process."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()
        self.pid = 0

    async def open_stream(self, target: Target) -> Stream:
        assert isinstance(target, TcpTarget | UdpTarget)
        kind = socket.SOCK_STREAM if isinstance(target, TcpTarget) else socket.SOCK_DGRAM
        home, there = netns.current(), os.open(f"/proc/{self.pid}/ns/net", os.O_RDONLY)
        try:
            with netns.inside(there, home):
                end = socket.socket(socket.AF_INET6 if ":" in target.host else socket.AF_INET, kind)
        finally:
            os.close(home)
            os.close(there)
        end.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(end, (target.host, target.port))
        except BaseException as e:
            end.close()
            if isinstance(e, OSError):
                raise TunnelError(str(e)) from e
            raise
        return SocketStream(end)


class Host:
    """The host's side, in a thread with a loop of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.forwarder: PortForwarder = self._call(self._make)
        self._listener: socket.socket | None = None
        self._engines: list[socket.socket] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.accepted = 0  # connections of engines, also those that have ended
        self.appear()

    async def _make(self) -> PortForwarder:
        self.guest = guest = _Direct()
        self.has_host_network = True
        return PortForwarder(
            platform_for("linux"), lambda: guest, lambda: ("127.0.0.1", "::1"), lambda: self.has_host_network
        )

    def appear(self) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen()
        self._listener.setblocking(False)
        self._call(self._begin)

    async def _begin(self) -> None:
        assert self._listener is not None
        self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        """Accept by a reader: a task that waits in sock_accept loses the connection if it is cancelled just then."""
        assert self._listener is not None
        with contextlib.suppress(BlockingIOError):
            end, _ = self._listener.accept()
            end.setblocking(False)
            self._engines.append(end)
            self.accepted += 1
            self._tasks.append(self._loop.create_task(self._serve(end)))

    async def _serve(self, end: socket.socket) -> None:
        with contextlib.suppress(TunnelError):
            await self.forwarder.serve(SocketStream(end))
        end.close()

    def vanish(self, *, with_ports: bool) -> None:
        """Break all connections with engines. `with_ports`: as when the agent itself ended."""
        self._call(lambda: self._vanish(with_ports))
        self.path.unlink()

    async def _vanish(self, with_ports: bool) -> None:
        assert self._listener is not None
        self._loop.remove_reader(self._listener)
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for end in self._engines:
            end.close()
        self._listener.close()
        if with_ports:
            await self.forwarder.stop()

    def close(self) -> None:
        self.vanish(with_ports=True)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, work: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        return asyncio.run_coroutine_threadsafe(work(), self._loop).result(HANG_S)


class _ApartEngine(NativeEngine):
    prefix: tuple[str | Path, ...] = ("unshare", "-n", "sh", "-c", 'ip link set lo up; exec "$@"', "sh")


@contextlib.contextmanager
def host_and_guest(busybox_tar: Path) -> Iterator[tuple[Host, NativeEngine]]:
    """A host, and an engine that publishes its ports there."""
    folder = Path(tempfile.mkdtemp(prefix="cvp-"))
    host = Host(folder / "host.sock")
    try:
        guest = _ApartEngine("--host-ports", str(host.path))
        guest.start()
        try:
            assert guest.process is not None
            host.guest.pid = guest.process.pid
            wait_until(lambda: host.forwarder.engines == 2)  # one connection for ports, one for listeners
            guest.docker("import", "-c", 'CMD ["sh"]', "-c", "ENV PATH=/bin", str(busybox_tar), IMAGE)
            yield host, guest
        finally:
            guest.stop()
    finally:
        host.close()
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def guest(busybox_tar: Path) -> Iterator[NativeEngine]:
    with host_and_guest(busybox_tar) as (_, made):
        yield made


@pytest.fixture
def clean(guest: NativeEngine) -> Iterator[NativeEngine]:
    yield guest
    if names := guest.docker("ps", "-aq").stdout.split():
        guest.docker("rm", "-f", *names)


def heard(port: int, address: str = "127.0.0.1") -> bytes:
    """What the container's server says. Repeated while `nc` is between two connections."""
    deadline = time.monotonic() + HANG_S
    while time.monotonic() < deadline:
        with contextlib.suppress(ConnectionResetError), socket.create_connection((address, port), HANG_S) as connection:
            if data := connection.recv(100):
                return data
    raise AssertionError("nothing was heard")


def begun(port: int) -> tuple[socket.socket, int]:
    """A connection that has brought its first bytes, and how many. Repeated until the container's server listens."""
    deadline = time.monotonic() + HANG_S
    while True:
        connection = socket.create_connection(("127.0.0.1", port), HANG_S)
        with contextlib.suppress(ConnectionError):
            if data := connection.recv(1 << 16):
                return connection, len(data)
        connection.close()
        assert time.monotonic() < deadline
        time.sleep(0.02)  # no event announces a container's listener


def refused(port: int, address: str = "127.0.0.1") -> bool:
    try:
        socket.create_connection((address, port), HANG_S).close()
    except ConnectionRefusedError:
        return True
    return False


def test_a_port_is_reachable_when_the_start_returns_and_goes_with_the_container(clean: NativeEngine) -> None:
    port = free_port()
    clean.docker("run", "-d", "--name", "web", "-p", f"{port}:80", IMAGE, "sh", "-c", TALK)
    with socket.create_connection(("127.0.0.1", port), HANG_S):
        pass  # accepted at the first try
    assert heard(port) == b"hello\n"
    assert heard(port, "::1") == b"hello\n", "no address was named: both loopbacks"
    assert clean.docker("port", "web").stdout == f"80/tcp -> 0.0.0.0:{port}\n80/tcp -> [::]:{port}\n"
    clean.docker("restart", "-t", "0", "web")
    assert heard(port) == b"hello\n"
    clean.docker("rm", "-f", "web")
    assert refused(port)
    assert refused(port, "::1")


def test_an_address_a_range_and_a_random_port(clean: NativeEngine) -> None:
    clean.docker("run", "-d", "--name", "six", "-p", "[::1]::80", IMAGE, "sh", "-c", TALK)
    six = int(clean.docker("port", "six", "80").stdout.rpartition(":")[2])
    assert heard(six, "::1") == b"hello\n"
    assert refused(six), "only the address that was named"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        first = taken.getsockname()[1]
        clean.docker("run", "-d", "--name", "range", "-p", f"127.0.0.1:{first}-{first + 9}:80", IMAGE, "sh", "-c", TALK)
        chosen = int(clean.docker("port", "range", "80").stdout.rpartition(":")[2])
        assert first < chosen <= first + 9
        assert heard(chosen) == b"hello\n"
        assert refused(chosen, "::1")
    clean.docker("run", "-d", "--name", "random", "-P", "--expose", "80", IMAGE, "sh", "-c", TALK)
    assert heard(int(clean.docker("port", "random", "80").stdout.splitlines()[0].rpartition(":")[2])) == b"hello\n"


def test_a_port_that_is_taken_fails_the_start_with_dockers_message(clean: NativeEngine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port, other = taken.getsockname()[1], free_port()
        run = ("run", "-d", "--name", "late", "-p", f"127.0.0.1:{other}:81", "-p", f"127.0.0.1:{port}:80")
        failed = clean.docker(*run, IMAGE, "sh", "-c", TALK, check=False)
        assert failed.returncode == 125
        said = f"failed to bind host port for 127.0.0.1:{port}/tcp: address already in use"
        name = Path("/proc/self/comm").read_text().strip()
        assert f"{said} by {name} (pid {os.getpid()})" in failed.stderr
        assert refused(other), "all ports of a container, or none"
    clean.docker("start", "late")
    assert heard(port) == b"hello\n"
    failed = clean.docker("run", "--rm", "-p", f"{port}:80", IMAGE, "true", check=False)
    assert f"Bind for 0.0.0.0:{port} failed: port is already allocated" in failed.stderr


def test_a_download_is_not_disturbed_by_ports_that_come_and_go(clean: NativeEngine) -> None:
    size, count = 64 << 20, 6
    source = free_port()
    send = f"dd if=/dev/zero bs=64k count={size >> 16} 2>/dev/null | nc -l -p 80"
    clean.docker("run", "-d", "--name", "source", "-p", f"127.0.0.1:{source}:80", IMAGE, "sh", "-c", send)
    used: list[int] = []
    download, got = begun(source)
    with download:
        for _ in range(count):
            port = free_port()
            ports = ("-p", f"127.0.0.1:{port}:80", "-p", f"127.0.0.1:{port}:53/udp")
            clean.docker("run", "-d", "--name", "comes", *ports, IMAGE, "sh", "-c", TALK)
            assert heard(port) == b"hello\n"
            got += len(download.recv(1 << 20))
            clean.docker("rm", "-f", "comes")
            used.append(port)
        while data := download.recv(1 << 20):
            got += len(data)
    assert got == size
    assert all(refused(port) for port in used)


def test_datagrams_find_their_way_back_to_each_client(clean: NativeEngine) -> None:
    port = free_port(socket.SOCK_DGRAM)
    server = (
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 53))\n"
        "while True: s.sendto(*s.recvfrom(9000))"
    )
    python = ("chroot", "/host", "/usr/bin/python3", "-c", server)
    clean.docker("run", "-d", "-p", f"{port}:53/udp", "-v", "/:/host:ro", IMAGE, *python)
    for address, family in (("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)):
        with socket.socket(family, socket.SOCK_DGRAM) as client:
            client.settimeout(0.2)
            client.connect((address, port))
            deadline = time.monotonic() + HANG_S
            while True:  # a datagram may be lost, and is until the server listens
                assert time.monotonic() < deadline
                with contextlib.suppress(TimeoutError):
                    client.send(b"ping")
                    assert client.recv(100) == b"ping"
                    break


def listen(engine: NativeEngine, name: str, works: str) -> None:
    """A container with the host's network that listens."""
    python = ("chroot", "/host", "/usr/bin/python3", "-c", LISTEN.format(works))
    engine.docker("run", "-d", "--name", name, "--network", "host", "-v", "/:/host:ro", IMAGE, *python)


def test_listeners_of_host_networks_appear_on_the_host(busybox_tar: Path) -> None:
    with host_and_guest(busybox_tar) as (host, guest):
        appear(host, guest)


def appear(host: Host, clean: NativeEngine) -> None:
    four, local, six, datagrams, later = free_port(), free_port(), free_port(), 10053, free_port()
    works = f"(tcp, socket.AF_INET, '', {four}), (tcp, socket.AF_INET, '127.0.0.1', {local}), (udp, {datagrams}),"
    listen(clean, "net", works + f"(tcp, socket.AF_INET6, '::1', {six})")
    wait_until(lambda: not refused(six, "::1"))
    wait_until(lambda: not refused(four) and not refused(local))
    assert heard(four) == heard(four, "::1") == heard(local) == heard(six, "::1") == b"hello\n"
    assert refused(local, "::1")
    assert refused(six)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.2)
        client.connect(("127.0.0.1", datagrams))
        wait_until(lambda: is_echoed(client))

    # Another container joins that network, and listens later: no event of a container tells of it.
    clean.docker(
        "run", "-d", "--name", "joins", "--network", "container:net", "-v", "/:/host:ro", IMAGE, "sleep", "1000"
    )
    python = LISTEN.format(f"(tcp, socket.AF_INET, '', {later}),")
    clean.docker("exec", "-d", "joins", "chroot", "/host", "/usr/bin/python3", "-c", python)
    wait_until(lambda: not refused(later))
    assert heard(later) == b"hello\n"
    assert host.accepted == 2, "the listeners are reported on one connection"

    failed = clean.docker("run", "--rm", "-p", f"{four}:80", IMAGE, "true", check=False)
    assert "address already in use by a container with the host's network" in failed.stderr
    os.kill(clean.pid_of("cove-engine"), signal.SIGKILL)
    clean.wait_until_answering()
    wait_until(lambda: host.accepted == 4 and host.forwarder.engines == 2)
    assert heard(four) == b"hello\n"
    clean.docker("rm", "-f", "joins")
    wait_until(lambda: refused(later))
    assert heard(four) == b"hello\n"
    host.vanish(with_ports=True)
    assert refused(four)
    host.appear()
    wait_until(lambda: not refused(four))
    clean.docker("rm", "-f", "net")
    wait_until(lambda: refused(four) and refused(local) and refused(six, "::1"))


def test_a_listener_is_left_out_where_its_number_is_taken_or_the_user_wants_none(busybox_tar: Path) -> None:
    with host_and_guest(busybox_tar) as (host, guest):
        left_out(host, guest)
        guest.docker("rm", "-f", "net", "second")


def left_out(host: Host, clean: NativeEngine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port, other, unwanted = taken.getsockname()[1], free_port(), free_port()
        listen(clean, "net", f"(tcp, socket.AF_INET, '127.0.0.1', {port}), (tcp, socket.AF_INET, '', {other})")
        wait_until(lambda: not refused(other))
        wait_until(lambda: "event=listener.not_on_host" in clean.log.read_text())
    host.has_host_network = False
    listen(clean, "second", f"(tcp, socket.AF_INET, '', {unwanted}),")
    wait_until(lambda: refused(other))
    assert refused(unwanted)


def test_ports_survive_the_hosts_absence_and_the_engines_death(busybox_tar: Path) -> None:
    with host_and_guest(busybox_tar) as (host, guest):
        survive(host, guest)
        guest.docker("rm", "-f", "kept")


def survive(host: Host, clean: NativeEngine) -> None:
    kept, removed = free_port(), free_port()
    clean.docker("run", "-d", "--name", "kept", "-p", f"{kept}:80", IMAGE, "sh", "-c", TALK)
    clean.docker("run", "-d", "--name", "removed", "-p", f"{removed}:80", IMAGE, "sh", "-c", TALK)
    host.vanish(with_ports=False)  # as when the carrier breaks
    assert heard(kept) == b"hello\n"
    clean.docker("rm", "-f", "removed")
    os.kill(clean.pid_of("cove-engine"), signal.SIGKILL)
    host.appear()
    wait_until(lambda: refused(removed))
    assert heard(kept) == b"hello\n"
    host.vanish(with_ports=True)  # as when the agent is started again
    assert refused(kept)
    host.appear()
    wait_until(lambda: not refused(kept))
    assert heard(kept) == b"hello\n"


def test_a_port_whose_container_has_another_address_is_published_again() -> None:
    """The socket of a datagram port is free as soon as the forward was closed."""

    async def main() -> None:
        host = PortForwarder(platform_for("linux"), lambda: None, lambda: ("127.0.0.1", "::1"))
        engine, theirs = socket.socketpair()
        serving = asyncio.create_task(host.serve(SocketStream(theirs)))
        stream = SocketStream(engine)
        port = {"protocol": "udp", "host_ip": "", "host_port": free_port(socket.SOCK_DGRAM), "port": 53}
        for address in ("172.17.0.2", "172.17.0.3"):
            await stream.write(json.dumps({"sync": [port | {"address": address}]}).encode() + b"\n")
            assert json.loads(await stream.read()) == {"lost": []}
        stream.close()
        await serving
        theirs.close()
        await host.stop()

    asyncio.run(main())
