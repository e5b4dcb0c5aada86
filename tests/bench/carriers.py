"""Compare the tunnel's carriers: echo, opening of a stream, throughput each way, as a table in Markdown.

    python -m tests.bench.carriers

Boots a VM of its own. Its host agent is killed for the measurement, because the port takes one host at a time. The
targets are Python servers in the guest. "frame" is the round trip of an opening that is refused: the carrier alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import sys
import time

from desktop.tunnel.keys import KeyFiles
from desktop.tunnel.multiplexer import MultiplexerCarrier
from desktop.tunnel.ssh import SshCarrier
from desktop.tunnel.transport import CHUNK, Carrier, Stream, TcpTarget, Transport, TunnelError, UnixTarget
from desktop.vm.machine import Record
from tests.vm.conftest import Vm

ECHO, SINK, SOURCE = (TcpTarget("127.0.0.1", port) for port in (7007, 7009, 7019))
SERVERS = (
    "cat >/tmp/echo.py <<'E'\n"
    "import socket, threading\n"
    "def serve(port, talk):\n"
    "    listener = socket.create_server(('127.0.0.1', port))\n"
    "    while True:\n"
    "        end, _ = listener.accept()\n"
    "        threading.Thread(target=talk, args=(end,), daemon=True).start()\n"
    "def echo(end):\n"
    "    while data := end.recv(65536): end.sendall(data)\n"
    "    end.close()\n"
    "def sink(end):\n"
    "    while end.recv(1 << 20): pass\n"
    "    end.sendall(b'x'); end.close()\n"
    "def source(end):\n"
    "    size = int(end.recv(20))\n"
    "    block = bytes(1 << 20)\n"
    "    for _ in range(size >> 20): end.sendall(block)\n"
    "    end.close()\n"
    "for port, talk in ((7007, echo), (7009, sink), (7019, source)):\n"
    "    threading.Thread(target=serve, args=(port, talk)).start()\n"
    "E\n"
    "setsid python3 /tmp/echo.py >/dev/null 2>&1 </dev/null &"
)
TRIES = 200
BULK = 64 << 20


async def measure(transport: Transport) -> str:
    """One line of the table."""
    frames = []
    for _ in range(TRIES):
        before = time.perf_counter()
        with contextlib.suppress(TunnelError):
            await transport.open_stream(UnixTarget("/absent"))
        frames.append(time.perf_counter() - before)
    opens = []
    for _ in range(50):
        before = time.perf_counter()
        stream = await _open(transport, ECHO)
        await stream.write(b"x")
        await stream.read()
        opens.append(time.perf_counter() - before)
        stream.close()
    stream = await _open(transport, ECHO)
    echoes = []
    for _ in range(TRIES):
        before = time.perf_counter()
        await stream.write(b"x")
        await stream.read()
        echoes.append(time.perf_counter() - before)
    stream.close()
    up, down = [], []
    for _ in range(3):
        stream, before = await _open(transport, SINK), time.perf_counter()
        for _ in range(BULK // CHUNK):
            await stream.write(bytes(CHUNK))
        await stream.write_eof()
        await stream.read()
        up.append(BULK / 1e6 / (time.perf_counter() - before))
        stream.close()
        stream, before, got = await _open(transport, SOURCE), time.perf_counter(), 0
        await stream.write(str(BULK).encode())
        while data := await stream.read():
            got += len(data)
        assert got == BULK
        down.append(BULK / 1e6 / (time.perf_counter() - before))
        stream.close()
    milliseconds = (
        statistics.median(frames),
        statistics.median(echoes),
        statistics.quantiles(echoes, n=100)[98],
        statistics.median(opens),
    )
    cells = [f"{value * 1e3:.2f}" for value in milliseconds] + [f"{statistics.median(rate):.0f}" for rate in (up, down)]
    return " | ".join(cells)


async def _open(transport: Transport, target: TcpTarget) -> Stream:
    """The servers begin to listen a moment after they were started."""
    for _ in range(200):
        try:
            return await transport.open_stream(target)
        except TunnelError:
            await asyncio.sleep(0.05)
    return await transport.open_stream(target)


async def compare(carriers: tuple[Carrier, ...]) -> None:
    sys.stdout.write("| carrier | frame ms | echo p50 ms | echo p99 ms | open ms | to guest MB/s | from guest MB/s |\n")
    sys.stdout.write("|---|---|---|---|---|---|---|\n")
    for carrier in carriers:
        transport = await carrier.connect()
        sys.stdout.write(f"| {carrier.name} | {await measure(transport)} |\n")
        sys.stdout.flush()
        await transport.close()


def main() -> int:
    vm = Vm()
    try:
        vm.start_agent()
        vm.start()
        vm.cove("vm", "ssh", SERVERS)
        record = Record.load(vm.paths.vm_record)
        assert record is not None
        assert vm.agent is not None
        vm.agent.kill()
        vm.agent.wait()
        keys = KeyFiles(vm.paths.client_key, vm.paths.host_key)
        asyncio.run(compare((MultiplexerCarrier(record.tunnel), SshCarrier(record.ssh_port, keys))))
        vm.start_agent()  # it adopts the VM, and stops it in order
    finally:
        vm.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
