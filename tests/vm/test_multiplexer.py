"""The multiplexer: our end, and the guest's own program, which runs here on a socket pair in place of its port.

`Port` does what QEMU does with a virtio-serial port's socket: one host at a time, and what the guest sends while none
is connected is lost. The real port is in test_vm.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import termios
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from desktop.platform.base import LocalAddress
from desktop.tunnel import multiplexer, tunnel
from desktop.tunnel.multiplexer import MAX_PAYLOAD, WINDOW, MultiplexerCarrier, MultiplexerTransport
from desktop.tunnel.transport import CHUNK, OnService, Stream, TcpTarget, Transport, TunnelError, UdpTarget, UnixTarget
from desktop.tunnel.tunnel import Tunnel
from tests.support.limits import HANG_S
from tests.support.waiting import wait_until
from vmagent.native import binary

BIG = 24 * 1024 * 1024
_Opened = TypeVar("_Opened", MultiplexerTransport, Tunnel)


class Port:
    """The port's socket and the guest's program behind it."""

    def __init__(self, folder: Path) -> None:
        self.address = LocalAddress(folder / "port")
        self.services = folder / "services"
        self._host: asyncio.StreamWriter | None = None
        self._program: subprocess.Popen[bytes] | None = None
        self._ours: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        self.start_program()
        self._server = await asyncio.start_unix_server(self._serve, str(self.address.path))

    def start_program(self) -> None:
        self._ours, theirs = socket.socketpair()
        self._ours.setblocking(False)
        command = [str(binary("tunnel", os.uname().machine)), str(theirs.fileno()), f"ports={self.services}"]
        self._program = subprocess.Popen(command, pass_fds=(theirs.fileno(),))
        theirs.close()
        self._tasks.append(asyncio.create_task(self._outward(self._ours)))

    async def kill_program(self) -> None:
        assert self._program is not None
        self._program.kill()
        self._program.wait()
        await self._tasks[-1]

    def switches(self) -> int:
        """How often the program has waited, and was woken."""
        assert self._program is not None
        status = Path(f"/proc/{self._program.pid}/status").read_text()
        return int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])

    async def write(self, data: bytes) -> None:
        """What a host would write that greets or not."""
        assert self._ours is not None
        await asyncio.get_running_loop().sock_sendall(self._ours, data)

    async def close(self) -> None:
        assert self._program is not None
        assert self._server is not None
        self._server.close()
        is_alive = self._program.poll() is None
        await self.kill_program()
        assert is_alive, "the program ended by itself"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._host = writer
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                await self.write(data)
        self._host = None
        writer.close()

    async def _outward(self, ours: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := await asyncio.get_running_loop().sock_recv(ours, CHUNK):
                if (host := self._host) is not None:
                    host.write(data)
                    with contextlib.suppress(OSError):
                        await host.drain()
        ours.close()


class Targets:
    """Servers as in a guest: by their name they echo, swallow until told, or keep what they get."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.let_read = asyncio.Event()
        self.kept = bytearray()
        self.has_kept = asyncio.Event()
        self.kept_ended = asyncio.Event()
        self._servers: list[asyncio.Server] = []

    async def open(self) -> None:
        for name, handler in (("echo", self._echo), ("slow", self._slow), ("first", self._first), ("keep", self._keep)):
            self._servers.append(await asyncio.start_unix_server(handler, str(self._folder / name)))
        tcp = await asyncio.start_server(self._echo, "127.0.0.1", 0)
        self._servers.append(tcp)
        self.tcp = TcpTarget("127.0.0.1", tcp.sockets[0].getsockname()[1])
        self._udp, _ = await asyncio.get_running_loop().create_datagram_endpoint(_EchoDatagrams, ("127.0.0.1", 0))
        self.udp = UdpTarget("127.0.0.1", self._udp.get_extra_info("sockname")[1])

    def unix(self, name: str) -> UnixTarget:
        return UnixTarget(str(self._folder / name))

    def close(self) -> None:
        for server in self._servers:
            server.close()
        self._udp.close()

    async def _echo(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def _slow(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.let_read.wait()
        writer.close()

    async def _first(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.write_eof()
        await reader.read()
        writer.close()

    async def _keep(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                self.kept += data
                self.has_kept.set()
        self.kept_ended.set()
        writer.close()


class _EchoDatagrams(asyncio.DatagramProtocol):
    def connection_made(self, transport: Any) -> None:  # Any: asyncio's own is not declared as a DatagramTransport
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._transport.sendto(data, addr)


@asynccontextmanager
async def guest(folder: Path) -> AsyncIterator[tuple[Port, Targets]]:
    others = asyncio.all_tasks()
    port, targets = Port(folder), Targets(folder)
    await port.open()
    await targets.open()
    try:
        async with asyncio.timeout(HANG_S):
            yield port, targets
    finally:
        targets.let_read.set()
        targets.close()
        await port.close()
        tasks = asyncio.all_tasks() - others
        await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), HANG_S)


def run(folder: Path, scenario: Callable[[MultiplexerTransport, Targets], Awaitable[None]]) -> None:
    """Run `scenario` in a session with the guest's program."""

    async def main() -> None:
        async with (
            guest(folder) as (port, targets),
            closing(await MultiplexerCarrier(port.address).connect()) as session,
        ):
            await scenario(session, targets)

    asyncio.run(main())


@asynccontextmanager
async def closing(opened: _Opened) -> AsyncIterator[_Opened]:
    """Close a session or tunnel also where the test fails: until then the end of `guest` waits for its port's tasks."""
    try:
        yield opened
    finally:
        await opened.close()


async def read_all(stream: Stream) -> bytes:
    heard = b""
    while part := await stream.read():
        heard += part
    return heard


async def echoed(session: Transport | Tunnel, target: UnixTarget | TcpTarget, data: bytes = b"ping") -> bytes:
    stream = await session.open_stream(target)
    await stream.write(data)
    await stream.write_eof()
    heard = await read_all(stream)
    stream.close()
    return heard


def test_each_kind_of_target_is_reached(tmp_path: Path) -> None:
    async def scenario(session: MultiplexerTransport, targets: Targets) -> None:
        assert await echoed(session, targets.unix("echo")) == b"ping"
        assert await echoed(session, targets.tcp) == b"ping"
        datagrams = await session.open_stream(targets.udp)
        for size in (1, 1400, 60_000):
            await datagrams.write(bytes(size))
            assert len(await datagrams.read()) == size
        datagrams.close()

    run(tmp_path, scenario)


def test_a_small_exchange_wakes_the_program_once_each_way(tmp_path: Path) -> None:
    """Each time that it is woken costs half a millisecond in an emulated guest."""
    count = 200

    async def main() -> None:
        async with (
            guest(tmp_path) as (port, targets),
            closing(await MultiplexerCarrier(port.address).connect()) as session,
        ):
            stream = await session.open_stream(targets.unix("echo"))
            before = port.switches()
            for _ in range(count):
                await stream.write(b"x")
                assert await stream.read() == b"x"
            assert port.switches() - before <= 2 * count + 10
            stream.close()

    asyncio.run(main())


def test_a_target_that_is_not_there_is_refused_with_the_reason(tmp_path: Path) -> None:
    async def scenario(session: MultiplexerTransport, targets: Targets) -> None:
        with pytest.raises(TunnelError, match=r"nothing answers at \S*/absent in the VM: No such file"):
            await session.open_stream(targets.unix("absent"))
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            with pytest.raises(TunnelError, match="Connection refused"):
                await session.open_stream(TcpTarget("127.0.0.1", bound.getsockname()[1]))
        with pytest.raises(TunnelError, match="not a numeric address"):
            await session.open_stream(TcpTarget("localhost", 80))
        with pytest.raises(TunnelError, match="not a valid target"):
            await session.open_stream(UnixTarget("/" + "x" * 200))
        assert await echoed(session, targets.tcp) == b"ping"

    run(tmp_path, scenario)


def test_each_direction_ends_by_itself(tmp_path: Path) -> None:
    async def scenario(session: MultiplexerTransport, targets: Targets) -> None:
        data = os.urandom(3 * WINDOW)
        assert await echoed(session, targets.unix("echo"), b"x" * 100_000) == b"x" * 100_000, "after our end"
        stream = await session.open_stream(targets.unix("first"))
        assert (await stream.read(), await stream.read()) == (b"hello", b"")
        await stream.write(data)
        await stream.write_eof()
        stream.close()
        assert session.idle.is_set()

    run(tmp_path, scenario)


def test_much_data_passes_both_ways_at_once(tmp_path: Path) -> None:
    async def scenario(session: MultiplexerTransport, targets: Targets) -> None:
        data = os.urandom(BIG)

        async def through(target: UnixTarget | TcpTarget) -> bytes:
            stream = await session.open_stream(target)
            digest = hashlib.sha256()

            async def read() -> None:
                while part := await stream.read():
                    digest.update(part)

            reading = asyncio.create_task(read())
            for begin in range(0, BIG, 100_000):
                await stream.write(data[begin : begin + 100_000])
            await stream.write_eof()
            await reading
            stream.close()
            return digest.digest()

        digests = await asyncio.gather(through(targets.tcp), through(targets.unix("echo")))
        assert set(digests) == {hashlib.sha256(data).digest()}

    run(tmp_path, scenario)


def test_targets_that_do_not_read_hold_up_nothing_else(tmp_path: Path) -> None:
    async def scenario(session: MultiplexerTransport, targets: Targets) -> None:
        full = asyncio.Event()
        count = 140  # beyond STREAMS_WITH_WINDOW
        much = bytes(8 * WINDOW)  # more than the window, the socket's buffers and one read of the target together

        async def fill(stream: Stream) -> None:
            nonlocal count
            await stream.write(bytes(CHUNK))
            count -= 1
            if not count:
                full.set()
            await stream.write(much)

        slow = [await session.open_stream(targets.unix("slow")) for _ in range(count)]
        fills = [asyncio.create_task(fill(stream)) for stream in slow]
        await full.wait()
        assert await echoed(session, targets.tcp, b"y" * WINDOW * 3) == b"y" * WINDOW * 3
        assert not any(task.done() for task in fills)
        targets.let_read.set()  # they close without reading
        for error in await asyncio.gather(*fills, return_exceptions=True):
            assert isinstance(error, TunnelError)
        for stream in slow:
            stream.close()
        assert session.idle.is_set()

    run(tmp_path, scenario)


def test_a_reader_that_does_not_read_holds_up_nothing_else(tmp_path: Path) -> None:
    async def scenario(session: MultiplexerTransport, targets: Targets) -> None:
        stream = await session.open_stream(targets.unix("echo"))
        writing = asyncio.create_task(stream.write(bytes(8 * WINDOW)))
        assert await echoed(session, targets.tcp, b"y" * WINDOW * 3) == b"y" * WINDOW * 3
        assert not writing.done()
        heard = 0
        while heard < 8 * WINDOW:
            heard += len(await stream.read())
        await writing
        stream.close()

    run(tmp_path, scenario)


def test_a_host_that_dies_within_a_frame_leaves_the_next_one_a_clean_session(tmp_path: Path) -> None:
    async def main() -> None:
        async with guest(tmp_path) as (port, targets):
            async with closing(await MultiplexerCarrier(port.address).connect()) as session:
                stream = await session.open_stream(targets.unix("keep"))
                await stream.write(b"a" * 100_000)
                await targets.has_kept.wait()
                # Half a frame for that stream, and then nothing more of this session.
                connection = session._connection
                assert connection is not None
                connection.write(multiplexer._HEADER.pack(4, 1, MAX_PAYLOAD) + b"b" * 1000)
                await asyncio.sleep(0)
                connection.close()
                await session.gone.wait()
                with pytest.raises(TunnelError, match="broke"):
                    await stream.write(b"more")
            async with closing(await MultiplexerCarrier(port.address).connect()) as again:
                await targets.kept_ended.wait()
                assert bytes(targets.kept) == b"a" * len(targets.kept), "no byte of a frame that was not whole"
                assert await echoed(again, targets.tcp) == b"ping"

    asyncio.run(main())


def unread(sent: socket.socket) -> int:
    """Bytes that the other end of a socket pair has not read yet (TIOCOUTQ)."""
    return int.from_bytes(fcntl.ioctl(sent, termios.TIOCOUTQ, bytes(4)), sys.byteorder)


def test_a_greeting_that_comes_before_linux_knows_of_the_host_is_answered() -> None:
    """Until a kernel thread has handled QEMU's message, the port reads as closed behind the greeting's bytes. Packets
    stand for the port, as an empty one reads like that."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    nonce = os.urandom(16)
    with ours, theirs:
        command = [str(binary("tunnel", os.uname().machine)), str(theirs.fileno())]
        with subprocess.Popen(command, pass_fds=(theirs.fileno(),)) as program:
            try:
                ours.settimeout(HANG_S)
                assert not any(ours.recv(1 << 20))  # it has begun: zero bytes
                for _ in range(5):
                    ours.send(bytes(multiplexer.ZERO_RUN // 4))  # a run, in packets that the queue takes
                wait_until(lambda: unread(ours) == 0)  # else the queue may have no place for more
                program.send_signal(signal.SIGSTOP)
                ours.send(multiplexer.MAGIC + struct.pack("<I", multiplexer.VERSION) + nonce)
                ours.send(b"")
                program.send_signal(signal.SIGCONT)
                assert ours.recv(1 << 20).endswith(nonce)
            finally:
                program.kill()


def test_a_program_that_is_killed_and_started_again_is_greeted_anew(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            guest(tmp_path) as (port, targets),
            closing(Tunnel((MultiplexerCarrier(port.address),))) as lasting,
        ):
            lasting.start()
            stream = await lasting.open_stream(targets.unix("echo"))
            await port.kill_program()
            port.start_program()
            with pytest.raises(TunnelError, match="broke"):
                await stream.read()
            assert await echoed(lasting, targets.unix("echo"), b"again") == b"again"

    asyncio.run(main())


def test_a_program_in_the_guest_reaches_a_service_of_the_host(tmp_path: Path) -> None:
    async def serve(name: str, stream: Stream) -> None:
        await stream.write(name.encode() + b" " + await stream.read())
        await stream.write_eof()

    async def reached(port: Port) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while True:
            try:
                return await asyncio.open_unix_connection(str(port.services))
            except (FileNotFoundError, ConnectionRefusedError):
                await asyncio.sleep(0.01)  # no event announces a listener

    async def call(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(b"hello")
        try:
            return await reader.read()
        except ConnectionError:  # closed with our bytes unread, or before they were written
            return b""
        finally:
            writer.close()

    async def main(on_service: OnService | None) -> list[bytes]:
        async with guest(tmp_path) as (port, _):
            early = await reached(port)  # waits for a host
            async with closing(await MultiplexerCarrier(port.address, on_service).connect()):
                others = [await reached(port) for _ in range(20)]
                return await asyncio.gather(*(call(*connection) for connection in (early, *others)))

    assert asyncio.run(main(serve)) == [b"ports hello"] * 21
    assert asyncio.run(main(None)) == [b""] * 21, "refused: the connection is closed"


def test_a_target_whose_queue_is_full_is_tried_again_while_others_are_busy(tmp_path: Path) -> None:
    """The tries are counted by time, not by the rounds of the guest's program, which other streams make many."""

    async def scenario(session: MultiplexerTransport, targets: Targets) -> None:
        with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
            listener.bind(targets.unix("full").path)
            listener.listen(0)
            first.connect(targets.unix("full").path)
            opening = asyncio.create_task(session.open_stream(targets.unix("full")))
            busy = await session.open_stream(targets.unix("echo"))
            for _ in range(1500):
                await busy.write(b"x")
                assert await busy.read() == b"x"
            busy.close()
            assert not opening.done()
            listener.accept()[0].close()
            (await opening).close()

    run(tmp_path, scenario)


def test_garbage_on_the_port_never_reaches_a_target_or_ends_the_program(tmp_path: Path) -> None:
    async def main() -> None:
        async with guest(tmp_path) as (port, targets):
            source = random.Random(1)
            for _ in range(60):
                kind, size = source.choice((0, 1, 2, 4, 5, 6, 7, 9)), source.choice((0, 4, 8, 40, MAX_PAYLOAD, 1 << 31))
                frame = multiplexer._HEADER.pack(kind, source.choice((0, 1, 2, 3)), size) + source.randbytes(100)
                greeting = bytes(multiplexer.ZERO_RUN) + multiplexer.MAGIC + source.randbytes(20)
                await port.write(source.choice((frame, greeting, source.randbytes(3000))))
            async with closing(await MultiplexerCarrier(port.address).connect()) as session:
                assert await echoed(session, targets.tcp) == b"ping"

    asyncio.run(main())


class _Broken:
    """A carrier that can be made to work."""

    name = "the other way"

    def __init__(self, address: LocalAddress) -> None:
        self._inner = MultiplexerCarrier(address)
        self.works = False
        self.tries = 0

    async def connect(self) -> Transport:
        self.tries += 1
        if not self.works:
            raise TunnelError("it is broken")
        return await self._inner.connect()


def test_the_next_carrier_takes_over_until_the_first_is_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tunnel, "GRACE_S", 0.01)
    monkeypatch.setattr(tunnel, "LONGEST_PAUSE_S", 0.05)
    (tmp_path / "second").mkdir()

    async def main() -> None:
        async with guest(tmp_path) as (port, targets), guest(tmp_path / "second") as (other_port, _):
            first = _Broken(port.address)
            async with closing(Tunnel((first, MultiplexerCarrier(other_port.address)))) as lasting:
                lasting.start()
                await lasting.connected()
                assert lasting.carrier == "the multiplexer"
                old = await lasting.open_stream(targets.unix("echo"))
                first.works = True
                while lasting.carrier != first.name:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)  # no event for other tasks' steps
                assert await echoed(lasting, targets.tcp) == b"ping"
                await old.write(b"still here")
                assert await old.read() == b"still here", "streams of the second carrier go on"
                old.close()

    asyncio.run(main())


def test_without_a_connection_a_stream_is_refused_with_the_carriers_reasons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        lasting = Tunnel((_Broken(LocalAddress(tmp_path / "none")),))
        lasting.start()
        with pytest.raises(TunnelError, match="no connection into the VM: the other way: it is broken"):
            await lasting.connected(0.2)
        await lasting.close()
        with pytest.raises(TunnelError, match="closed"):
            await lasting.open_stream(UnixTarget("/x"))

    asyncio.run(main())
