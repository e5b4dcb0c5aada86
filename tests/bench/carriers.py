"""Compare the tunnel's carriers: echo, opening of a stream, throughput each way, as a table in Markdown.

    python -m tests.bench.carriers [--relay] [--ssh]

Boots a VM of its own. Its host agent is killed for the measurement, because the port takes one host at a time. The
targets are Python servers in the guest. The rows:

    the multiplexer     streams to those servers
    relayed             the same through a socket of this machine, as published ports and the Engine API's socket are
    SSH                 the other carrier
    the port alone      a Python program in the guest has the port to itself: no multiplexer can be faster
    inside the guest    a client there, without any tunnel: what the servers themselves cost

"frame" is the round trip of an opening that is refused: the carrier alone. "beside" is an echo's and a transfer's time
beside a stream that nobody reads, as a multiple of the time without. The last columns are the processor's time, which
does not depend on what else runs: of this process and of QEMU, for a round trip and for a megabyte.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from desktop.hostagent.relay import relay
from desktop.platform import platform_for
from desktop.platform.base import LocalAddress
from desktop.tunnel.keys import KeyFiles
from desktop.tunnel.multiplexer import MultiplexerCarrier
from desktop.tunnel.sshcarrier import SshCarrier
from desktop.tunnel.transport import CHUNK, Opener, Stream, TunnelError, UnixTarget
from desktop.vm.machine import Record
from tests.support.processes import cpu_s
from tests.support.sockets import SocketStream
from tests.vm.conftest import Vm

ECHO, SINK, SOURCE, STALL = (UnixTarget(f"/tmp/bench.{name}") for name in ("echo", "sink", "source", "stall"))
INSIDE_GUEST, TAKE = (UnixTarget(f"/tmp/bench.{name}") for name in ("inside", "take"))
SERVERS = """
import socket, subprocess, threading
def serve(name, talk):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind('/tmp/bench.' + name)
    listener.listen(64)
    while True:
        end, _ = listener.accept()
        threading.Thread(target=talk, args=(end,), daemon=True).start()
def echo(end):
    while data := end.recv(65536): end.sendall(data)
    end.close()
def sink(end):
    space = bytearray(1 << 20)
    while end.recv_into(space): pass
    end.sendall(b'x'); end.close()
def source(end):
    size = int(end.recv(20))
    block = bytes(1 << 20)
    for _ in range(size >> 20): end.sendall(block)
    end.close()
held = []
def stall(end):
    held.append(end)
def take(end):
    subprocess.Popen(['sh', '/tmp/take.sh'])
def inside(end):
    end.sendall(subprocess.run(['python3', '/tmp/inside.py'], capture_output=True).stdout); end.close()
for talk in (echo, sink, source, stall, take, inside):
    threading.Thread(target=serve, args=(talk.__name__, talk)).start()
"""
# Has the port to itself. A request is a letter and a size in 16 digits.
RAW = """
import os, sys
port = os.open(sys.argv[1], os.O_RDWR)
block = bytes(1 << 16)
def take(size):
    data = b''
    while len(data) < size: data += os.read(port, size - len(data))
    return data
def put(data):
    view = memoryview(data)
    while view: view = view[os.write(port, view):]
while True:
    if (what := take(1)) not in b'EUD': continue
    size = int(take(16))
    if what == b'E':
        for _ in range(size): put(take(1))
    elif what == b'U':
        space = bytearray(1 << 16)
        while size: size -= os.readv(port, [space])
        put(b'x')
    else:
        while size: put(block); size -= len(block)
"""
# Prints the echo's median, and the throughput each way.
INSIDE = """
import socket, statistics, time
def to(name):
    s = socket.socket(socket.AF_UNIX); s.connect('/tmp/bench.' + name); return s
s = to('echo'); times = []
for _ in range(200):
    t = time.perf_counter(); s.sendall(b'x'); s.recv(1); times.append(time.perf_counter() - t)
s.close()
t = time.perf_counter(); s = to('sink'); block = bytes(65536)
for _ in range(512): s.sendall(block)
s.shutdown(1); s.recv(1); up = (32 << 20) / 1e6 / (time.perf_counter() - t)
t = time.perf_counter(); s = to('source'); s.sendall(str(32 << 20).encode())
while s.recv(65536): pass
down = (32 << 20) / 1e6 / (time.perf_counter() - t)
print(f'| inside the guest | | {statistics.median(times)*1e3:.2f} | {statistics.quantiles(times, n=100)[98]*1e3:.2f} | '
      f'| {up:.0f} | {down:.0f} | | | |')
"""
# Ends the guest's end of the multiplexer, and what would start it again.
TAKE_PORT = """
for port in /sys/class/virtio-ports/*; do [ "$(cat "$port/name")" = cove.tunnel ] && device=/dev/${port##*/}; done
read -r _ _ _ parent _ </proc/$(pidof tunnel)/stat
kill -9 $parent $(pidof tunnel)
setsid python3 /tmp/raw.py $device >/dev/null 2>&1 </dev/null &
"""
PROGRAMS = (("servers.py", SERVERS), ("raw.py", RAW), ("inside.py", INSIDE), ("take.sh", TAKE_PORT))
HEADINGS = (
    "carrier", "frame ms", "echo p50 ms", "p99 ms", "open ms", "to guest MB/s", "from guest MB/s",
    "beside: echo, bulk", "µs an echo: ours, QEMU", "ms a MB to guest: ours, QEMU", "ms a MB from guest",
)  # fmt: skip
TRIES = 200
BULK = 32 << 20
ROUNDS = 3


class Used:
    """The processor's time of this process and of QEMU while a block runs."""

    def __init__(self, qemu: int) -> None:
        self._qemu = qemu
        self._before = self._now()
        self.ours_s = self.qemu_s = 0.0

    def __enter__(self) -> Used:
        self._before = self._now()
        return self

    def __exit__(self, *_: object) -> None:
        ours, qemu = self._now()
        self.ours_s, self.qemu_s = ours - self._before[0], qemu - self._before[1]

    def per(self, count: float, unit_s: float) -> str:
        return f"{self.ours_s / count / unit_s:.1f}, {self.qemu_s / count / unit_s:.1f}"

    def _now(self) -> tuple[float, float]:
        return time.process_time(), cpu_s(self._qemu)


@dataclass
class Figures:
    frames: list[float] = field(default_factory=list)
    opens: list[float] = field(default_factory=list)
    echoes: list[float] = field(default_factory=list)
    up: list[float] = field(default_factory=list)
    down: list[float] = field(default_factory=list)
    beside: str = ""
    used: tuple[str, str, str] = ("", "", "")

    def line(self, name: str) -> str:
        cells = [
            name,
            _ms(self.frames),
            _ms(self.echoes),
            f"{statistics.quantiles(self.echoes, n=100)[98] * 1e3:.2f}",
            _ms(self.opens),
            *(f"{statistics.median(rates):.0f}" for rates in (self.up, self.down)),
            self.beside,
            *self.used,
        ]
        return f"| {' | '.join(cells)} |\n"


def _ms(values: list[float]) -> str:
    return f"{statistics.median(values) * 1e3:.2f}" if values else ""


class Measurement:
    """What one row is made of; `opener` opens the streams."""

    def __init__(self, opener: Opener, qemu: int) -> None:
        self._opener, self._qemu = opener, qemu

    async def all(self, *, frames: bool = True) -> Figures:
        figures = Figures()
        if frames:
            await self._refusals(figures)
        await self._openings(figures)
        with Used(self._qemu) as echo:
            figures.echoes = await self._echoes()
        with Used(self._qemu) as up:
            for _ in range(ROUNDS):
                figures.up.append(await self._send())
        with Used(self._qemu) as down:
            for _ in range(ROUNDS):
                figures.down.append(await self._receive())
        figures.used = (
            echo.per(TRIES, 1e-6),
            up.per(ROUNDS * BULK / 1e6, 1e-3),
            down.per(ROUNDS * BULK / 1e6, 1e-3),
        )
        figures.beside = await self._beside()
        return figures

    async def _refusals(self, figures: Figures) -> None:
        for _ in range(TRIES):
            before = time.perf_counter()
            with contextlib.suppress(TunnelError):
                await self._opener.open_stream(UnixTarget("/absent"))
            figures.frames.append(time.perf_counter() - before)

    async def _openings(self, figures: Figures) -> None:
        for _ in range(50):
            before = time.perf_counter()
            stream = await self._opener.open_stream(ECHO)
            figures.opens.append(time.perf_counter() - before)
            await stream.write(b"x")
            await stream.read()
            stream.close()

    async def _echoes(self) -> list[float]:
        stream, times = await self._opener.open_stream(ECHO), []
        for _ in range(TRIES):
            before = time.perf_counter()
            await stream.write(b"x")
            await stream.read()
            times.append(time.perf_counter() - before)
        stream.close()
        return times

    async def _send(self) -> float:
        """MB/s."""
        stream, before, block = await self._opener.open_stream(SINK), time.perf_counter(), bytes(CHUNK)
        for _ in range(BULK // CHUNK):
            await stream.write(block)
        await stream.write_eof()
        await stream.read()
        stream.close()
        return BULK / 1e6 / (time.perf_counter() - before)

    async def _receive(self) -> float:
        stream, before, got = await self._opener.open_stream(SOURCE), time.perf_counter(), 0
        await stream.write(str(BULK).encode())
        while data := await stream.read():
            got += len(data)
        assert got == BULK
        stream.close()
        return BULK / 1e6 / (time.perf_counter() - before)

    async def _beside(self) -> str:
        """Alternately without and with a stream that is full, so that both meet the same load of the machine."""
        echo: tuple[list[float], list[float]] = ([], [])
        bulk: tuple[list[float], list[float]] = ([], [])
        for _ in range(ROUNDS):
            for index in (0, 1):
                full = await self._filled() if index else None
                echo[index].extend(await self._echoes())
                bulk[index].append(1 / await self._send())
                if full is not None:
                    full[1].cancel()
                    await asyncio.gather(full[1], return_exceptions=True)
                    full[0].close()
        ratios = (statistics.median(pair[1]) / statistics.median(pair[0]) for pair in (echo, bulk))
        return ", ".join(f"{ratio:.2f}" for ratio in ratios)

    async def _filled(self) -> tuple[Stream, asyncio.Task[None]]:
        stream = await self._opener.open_stream(STALL)
        written = 0

        async def fill() -> None:
            nonlocal written
            while True:
                await stream.write(bytes(CHUNK))
                written += CHUNK

        task, before = asyncio.create_task(fill()), -1
        while written != before:
            before = written
            await asyncio.sleep(0.2)
        return stream, task


class Relayed:
    """Opens connections to a socket of this machine. A thread relays them to `address`'s streams, as the agent does."""

    def __init__(self, address: LocalAddress, folder: Path) -> None:
        self.gone = asyncio.Event()
        self._folder = folder
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(address),))
        self._thread.start()
        self._ready.wait()

    async def _serve(self, address: LocalAddress) -> None:
        platform, self._end = platform_for(sys.platform), asyncio.Event()
        transport = await MultiplexerCarrier(address).connect()

        def handler(target: UnixTarget) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
            async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                with contextlib.suppress(OSError, TunnelError):
                    await relay(platform, reader, writer, await transport.open_stream(target))
                writer.close()

            return handle

        for target in (ECHO, SINK, SOURCE, STALL):
            await platform.serve(self._folder / Path(target.path).name, handler(target))
        self._ready.set()
        await self._end.wait()
        await transport.close()

    async def open_stream(self, target: object) -> Stream:
        assert isinstance(target, UnixTarget)
        end = socket.socket(socket.AF_UNIX)
        end.connect(str(self._folder / Path(target.path).name))
        return SocketStream(end)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()


def port_alone(address: LocalAddress, qemu: int) -> Figures:
    figures = Figures()
    end = socket.socket(socket.AF_UNIX)
    end.connect(str(address.path))

    def ask(what: str, size: int) -> None:
        end.sendall(f"{what}{size:016}".encode())

    time.sleep(5)  # it opens the port a moment later, and nothing announces it
    ask("E", TRIES)
    with Used(qemu) as echo:
        for _ in range(TRIES):
            before = time.perf_counter()
            end.sendall(b"x")
            end.recv(1)
            figures.echoes.append(time.perf_counter() - before)
    block = bytes(CHUNK)
    with Used(qemu) as up:
        for _ in range(ROUNDS):
            before = time.perf_counter()
            ask("U", BULK)
            for _ in range(BULK // CHUNK):
                end.sendall(block)
            end.recv(1)
            figures.up.append(BULK / 1e6 / (time.perf_counter() - before))
    with Used(qemu) as down:
        for _ in range(ROUNDS):
            before, got = time.perf_counter(), 0
            ask("D", BULK)
            while got < BULK:
                got += len(end.recv(CHUNK))
            figures.down.append(BULK / 1e6 / (time.perf_counter() - before))
    end.close()
    mega = ROUNDS * BULK / 1e6
    figures.used = (echo.per(TRIES, 1e-6), up.per(mega, 1e-3), down.per(mega, 1e-3))
    return figures


async def streams(vm: Vm, record: Record, options: argparse.Namespace) -> None:
    transport = await MultiplexerCarrier(record.tunnel).connect()
    show((await Measurement(transport, record.pid).all()).line("the multiplexer"))
    await transport.close()
    if options.relay:
        with tempfile.TemporaryDirectory() as folder:
            relayed = Relayed(record.tunnel, Path(folder))
            show((await Measurement(relayed, record.pid).all(frames=False)).line("relayed"))
            relayed.close()
    if options.ssh:
        keys = KeyFiles(vm.paths.client_key, vm.paths.host_key)
        ssh = await SshCarrier(record.ssh_port, keys).connect()
        show((await Measurement(ssh, record.pid).all()).line("SSH"))
        await ssh.close()
    transport = await MultiplexerCarrier(record.tunnel).connect()
    stream = await transport.open_stream(INSIDE_GUEST)
    show((await stream.read()).decode())
    await transport.open_stream(TAKE)
    await transport.close()


def show(line: str) -> None:
    sys.stdout.write(line)
    sys.stdout.flush()


def end_agent(vm: Vm) -> None:
    assert vm.agent is not None
    vm.agent.kill()
    vm.agent.wait()


@contextlib.contextmanager
def booted() -> Iterator[tuple[Vm, Record]]:
    """A VM with the servers, and no host agent."""
    vm = Vm()
    try:
        vm.start_agent()
        vm.start()
        for name, program in PROGRAMS:
            vm.cove("vm", "ssh", f"cat >/tmp/{name} <<'E'\n{program}\nE\n")
        vm.cove("vm", "ssh", "setsid python3 /tmp/servers.py >/dev/null 2>&1 </dev/null &")
        vm.cove("vm", "ssh", "until [ -S /tmp/bench.inside ]; do sleep 0.2; done")
        record = Record.load(vm.paths.vm_record)
        assert record is not None
        yield vm, record
        vm.start_agent()  # it adopts the VM, and stops it in order
    finally:
        vm.close()


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare the tunnel's carriers.")
    parser.add_argument("--relay", action="store_true", help="also through a socket of this machine")
    parser.add_argument("--ssh", action="store_true", help="also SSH")
    options = parser.parse_args()
    with booted() as (vm, record):
        end_agent(vm)
        show(f"| {' | '.join(HEADINGS)} |\n|{'---|' * len(HEADINGS)}\n")
        asyncio.run(streams(vm, record, options))
        show(port_alone(record.tunnel, record.pid).line("the port alone"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
