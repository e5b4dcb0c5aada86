"""Published ports of the VM under churn: none lost, none left, and traffic through other ports goes on.

    python -m tests.bench.ports [--ports 200] [--at-once 20] [--seconds 5]

Boots a VM of its own, with one container that stays: it echoes over TCP and UDP, IPv4 and IPv6, and sends a stream
whose bytes are checked. Meanwhile containers come and go, each with `--at-once` ports of all four kinds; each port is
used when `docker run` has returned, and must be free when `docker rm` has. Printed are the counts; what the steady
traffic did in quiet, in churn, and beside the same containers without ports, whose starts take the VM's processors too;
and what a published port costs as a table in Markdown. The status is 1 where a port was lost or left, or the steady
traffic broke.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.tools import busybox_tar
from tests.vm.conftest import Vm

IMAGE = "busybox:latest"
# The servers of each container, in the VM's own Python: echo over both protocols, and a stream without end.
ECHO, STREAM = 7, 8
LINE = b"0123456\n"
SERVERS = f"""
import _thread, socket
lines = {LINE!r} * 8192
def listener(port):
    end = socket.socket(socket.AF_INET6)
    end.bind(('::', port))
    end.listen(64)
    return end
def serve(listener, talk):
    while True: _thread.start_new_thread(talk, listener.accept()[:1])
def echo(end):
    try:
        while data := end.recv(65536): end.sendall(data)
    except OSError: pass
    end.close()
def stream(end):
    try:
        while True: end.sendall(lines)
    except OSError: pass
    end.close()
datagrams = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
datagrams.bind(('::', {ECHO}))
_thread.start_new_thread(serve, (listener({STREAM}), stream))
_thread.start_new_thread(serve, (listener({ECHO}), echo))
while True: datagrams.sendto(*datagrams.recvfrom(9000))
"""
LIMIT_S = 30.0
UDP_TRIES, UDP_WAIT_S = 5, 3.0
CHUNK = 1 << 16


@dataclass(frozen=True)
class Port:
    """A published port of this machine. `inner`: the container's."""

    host: str
    number: int
    is_udp: bool = False
    inner: int = ECHO

    @property
    def family(self) -> socket.AddressFamily:
        return socket.AF_INET6 if ":" in self.host else socket.AF_INET

    @property
    def kind(self) -> socket.SocketKind:
        return socket.SOCK_DGRAM if self.is_udp else socket.SOCK_STREAM

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.number}:{self.inner}/{'udp' if self.is_udp else 'tcp'}"

    def connect(self) -> socket.socket:
        end = socket.socket(self.family, self.kind)
        end.settimeout(UDP_WAIT_S if self.is_udp else LIMIT_S)
        try:
            end.connect((self.host, self.number))
        except BaseException:
            end.close()
            raise
        return end

    def is_free(self) -> bool:
        with socket.socket(self.family, self.kind) as probe:
            if not self.is_udp:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that have ended do not count
            try:
                probe.bind((self.host, self.number))
            except OSError:
                return False
        return True


def free_ports(count: int) -> Iterator[Port]:
    """Of all four kinds in turn."""
    kinds = itertools.product(("127.0.0.1", "::1"), (False, True))
    with contextlib.ExitStack() as held:  # so that no number comes twice
        for host, is_udp in itertools.islice(itertools.cycle(tuple(kinds)), count):
            port = Port(host, 0, is_udp)
            probe = held.enter_context(socket.socket(port.family, port.kind))
            probe.bind((host, 0))
            yield Port(host, probe.getsockname()[1], is_udp)


def exchange(end: socket.socket, port: Port, content: bytes) -> bool:
    """Send, and get the same back. A datagram may be lost, so it is sent again. Returns False where nothing came.
    Raises OSError."""
    if not port.is_udp:
        end.sendall(content)
        got = b""
        while len(got) < len(content):
            if not (data := end.recv(CHUNK)):
                return False
            got += data
        return got == content
    for _ in range(UDP_TRIES):
        end.send(content)
        with contextlib.suppress(TimeoutError):
            while end.recv(CHUNK) != content:  # the reply to one that was taken for lost
                pass
            return True
    return False


def works(port: Port) -> bool:
    try:
        with port.connect() as end:
            return exchange(end, port, f"through {port}".encode())
    except OSError:
        return False


@dataclass
class Steady:
    """Traffic that goes on through one port of the container that stays, in a thread."""

    port: Port
    times_s: list[float] = field(default_factory=list)
    failure: str = ""

    def run(self, until: threading.Event) -> None:
        try:
            with self.port.connect() as end:
                for number in itertools.count():
                    if until.is_set():
                        return
                    began = time.perf_counter()
                    if not exchange(end, self.port, b"%d:" % number + bytes(100)):
                        self.failure = f"exchange {number} failed"
                        return
                    self.times_s.append(time.perf_counter() - began)
                    time.sleep(0.01)
        except OSError as e:
            self.failure = str(e)


@dataclass
class Download:
    """The stream, read in a thread; its bytes are checked."""

    port: Port
    received: int = 0
    failure: str = ""

    def run(self, until: threading.Event) -> None:
        expected = LINE * (CHUNK // len(LINE) + 1)
        try:
            with self.port.connect() as end:
                while not until.is_set():
                    data = end.recv(CHUNK)
                    at = self.received % len(LINE)
                    if not data or data != expected[at : at + len(data)]:
                        self.failure = f"wrong after {self.received} bytes"
                        return
                    self.received += len(data)
        except OSError as e:
            self.failure = str(e)


def run_container(vm: Vm, name: str, ports: list[Port]) -> None:
    published = itertools.chain.from_iterable(("-p", str(port)) for port in ports)
    command = ("chroot", "/host", "/usr/bin/python3.13", "-S", "-c", SERVERS)
    vm.docker("run", "-d", "--name", name, "-v", "/:/host:ro", *published, IMAGE, *command)


def wait_for_servers(ports: list[Port]) -> None:
    """The servers of a container have begun to listen."""
    deadline = time.monotonic() + LIMIT_S
    while not all(works(port) for port in ports):
        if time.monotonic() > deadline:
            raise SystemExit("the container that stays serves nothing")
        time.sleep(0.1)


def churn(vm: Vm, count: int, at_once: int) -> tuple[int, list[Port], list[Port]]:
    """How many ports came and went, those that did not work, and those that were left."""
    lost: list[Port] = []
    left: list[Port] = []
    done = 0
    while done < count:
        ports = list(free_ports(min(at_once, count - done)))
        name = f"churn{done}"
        run_container(vm, name, ports)
        refused = [port for port in ports if port.is_free()]
        lost += refused
        lost += [port for port in ports if port not in refused and not works_soon(port)]
        vm.docker("rm", "-f", name)
        left += [port for port in ports if not port.is_free()]
        done += len(ports)
    return done, lost, left


def without_ports(vm: Vm, count: int, download: Download) -> float:
    """How fast the download is, MB/s, while as many containers come and go that publish nothing."""
    began, before = time.monotonic(), download.received
    for number in range(max(count, 1)):
        run_container(vm, f"plain{number}", [])
        vm.docker("exec", f"plain{number}", "true")
        vm.docker("rm", "-f", f"plain{number}")
    return (download.received - before) / 1e6 / (time.monotonic() - began)


def works_soon(port: Port) -> bool:
    """A connection that comes before the container's server listens is taken, and ended."""
    deadline = time.monotonic() + LIMIT_S
    while not works(port):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def costs(port: Port, stream: Port | None, seconds: float) -> str:
    """A row of the table."""
    echo_ms, open_ms = [], []
    until = time.monotonic() + seconds
    with port.connect() as end:
        while time.monotonic() < until:
            began = time.perf_counter()
            exchange(end, port, b"x")
            echo_ms.append((time.perf_counter() - began) * 1000)
    for _ in range(50 if not port.is_udp else 0):
        began = time.perf_counter()
        with port.connect() as end:
            exchange(end, port, b"x")
        open_ms.append((time.perf_counter() - began) * 1000)
    from_guest = 0.0
    if stream is not None:
        with stream.connect() as end:
            until, received, began = time.monotonic() + seconds, 0, time.perf_counter()
            while time.monotonic() < until:
                received += len(end.recv(CHUNK))
            from_guest = received / (time.perf_counter() - began) / 1e6
    quantiles = statistics.quantiles(echo_ms, n=100)
    kind = f"{'UDP' if port.is_udp else 'TCP'}, {port.host}"
    opening = f"{statistics.median(open_ms):.2f}" if open_ms else "-"
    speed = f"{from_guest:.0f}" if stream is not None else "-"
    return f"| {kind} | {quantiles[49]:.2f} | {quantiles[98]:.2f} | {opening} | {speed} |"


def median_ms(times_s: list[float]) -> float:
    return statistics.median(times_s) * 1000 if times_s else float("nan")


def measure(vm: Vm, options: argparse.Namespace) -> int:
    steady_ports = list(free_ports(6))
    streams = [Port(port.host, port.number, inner=STREAM) for port in steady_ports[4:] if not port.is_udp]
    echoes = steady_ports[:4]
    run_container(vm, "steady", [*echoes, *streams])
    wait_for_servers(echoes)
    print("| | echo p50, ms | p99 | new connection and echo, ms | from the container, MB/s |\n|---|---|---|---|---|")
    for port in echoes:
        print(costs(port, streams[0] if port.host == streams[0].host and not port.is_udp else None, options.seconds))
    until = threading.Event()
    steady, download = [Steady(port) for port in echoes], Download(streams[0])
    traffic: list[Steady | Download] = [*steady, download]
    threads = [threading.Thread(target=each.run, args=(until,)) for each in traffic]
    for thread in threads:
        thread.start()
    time.sleep(options.seconds)
    quiet, quiet_mb = [len(each.times_s) for each in steady], download.received / 1e6
    began = time.monotonic()
    done, lost, left = churn(vm, options.ports, options.at_once)
    churn_s = time.monotonic() - began
    churn_mb = download.received / 1e6 - quiet_mb
    counts = [len(each.times_s) for each in steady]
    without_mb_s = without_ports(vm, done // options.at_once, download)
    until.set()
    for thread in threads:
        thread.join()
    print(f"\n{done} ports published and removed in {churn_s:.0f} s; lost: {len(lost)}, left: {len(left)}")
    print(
        f"the download, MB/s: {quiet_mb / options.seconds:.1f} before, {churn_mb / churn_s:.1f} meanwhile, "
        f"{without_mb_s:.1f} with the same containers without ports"
    )
    for each, first, last in zip(steady, quiet, counts, strict=True):
        before, meanwhile = median_ms(each.times_s[:first]), median_ms(each.times_s[first:last])
        without = median_ms(each.times_s[last:])
        print(f"{len(each.times_s)} echoes by {each.port}, median ms: {before:.1f}, {meanwhile:.1f}, {without:.1f}")
    failures = [f"{each.port}: {each.failure}" for each in traffic if each.failure]
    for line in (*failures, *(f"lost: {port}" for port in lost), *(f"left: {port}" for port in left)):
        print(line)
    return 1 if failures or lost or left else 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Published ports under churn")
    parser.add_argument("--ports", type=int, default=200)
    parser.add_argument("--at-once", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    vm = Vm()
    with tempfile.TemporaryDirectory() as folder:
        try:
            vm.paths.config_file.write_text(json.dumps({"folders": {"shared": []}}))
            vm.start_agent()
            vm.start()
            vm.docker("import", "-c", "ENV PATH=/bin", busybox_tar(Path(folder) / "busybox.tar"), IMAGE)
            return measure(vm, options)
        finally:
            vm.close()


if __name__ == "__main__":
    sys.exit(main())
