"""The SSH carrier against a peer that withholds answers, ends its direction first, or does not read.

The peer is paramiko's server in this process: no real sshd can be told to leave a channel unanswered. The real one is
in the guest, in test_vm.py.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import paramiko
import pytest
from paramiko.common import AUTH_SUCCESSFUL, OPEN_SUCCEEDED, cMSG_CHANNEL_OPEN_FAILURE
from paramiko.message import Message

from desktop.tunnel import ssh
from desktop.tunnel.keys import KeyFiles, ensure_keys
from desktop.tunnel.ssh import SshTransport
from desktop.tunnel.transport import CHUNK, TunnelError, UnixTarget
from tests.support.limits import HANG_S

BIG = 24 * 1024 * 1024
PEER_WINDOW = 4 * CHUNK


class _Answers(paramiko.ServerInterface):
    def check_channel_request(self, kind: str, chanid: int) -> int:
        return OPEN_SUCCEEDED

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return AUTH_SUCCESSFUL

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"


class _Transport(paramiko.Transport):
    """Leaves channels to /withheld unanswered until `release`, refuses those to /refused."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__(connection, default_window_size=PEER_WINDOW)
        self.opened: list[str] = []  # paths, in the order in which `accept` returns their channels
        self.withheld: list[Message] = []
        self.news = threading.Condition()

    def _parse_channel_open(self, m: Message) -> None:
        m.get_text()
        number = m.get_int()
        m.get_int()
        m.get_int()
        path = m.get_text()
        m.rewind()
        with self.news:
            if path == "/withheld":
                self.withheld.append(m)
            self.news.notify_all()
        if path == "/refused":
            refusal = Message()
            refusal.add_byte(cMSG_CHANNEL_OPEN_FAILURE)
            refusal.add_int(number)
            refusal.add_int(2)
            refusal.add_string("nobody listens")
            refusal.add_string("en")
            inner: Any = self
            inner._send_message(refusal)
        elif path != "/withheld":
            self.opened.append(path)
            super()._parse_channel_open(m)  # type: ignore[misc]  # private, so without a type

    def release(self) -> None:
        """Send the withheld replies: the channels open."""
        withheld, self.withheld = self.withheld, []
        for message in withheld:
            self.opened.append("/withheld")
            super()._parse_channel_open(message)  # type: ignore[misc]


class Peer:
    """The server: by its path, a channel echoes, swallows, or sends first."""

    def __init__(self, folder: Path) -> None:
        self.keys = KeyFiles(folder / "client", folder / "host")
        ensure_keys(self.keys, folder / "known_hosts")
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.transport: _Transport | None = None
        self.let_read = threading.Event()
        self.received: dict[str, str] = {}  # digest of what a stream to /digest has sent
        self._threads = [threading.Thread(target=self._serve)]
        self._threads[0].start()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        self.transport = transport = _Transport(connection)
        transport.add_server_key(paramiko.Ed25519Key.from_private_key_file(str(self.keys.host)))
        transport.start_server(server=_Answers())
        while transport.is_active():
            if (channel := transport.accept(0.1)) is not None:
                path = transport.opened[len(self._threads) - 1]
                thread = threading.Thread(target=self._talk, args=(channel, path))
                self._threads.append(thread)
                thread.start()

    def _talk(self, channel: paramiko.Channel, path: str) -> None:
        try:
            if path == "/slow":
                assert self.let_read.wait(HANG_S)
            if path == "/first":
                channel.sendall(b"hello")
                channel.shutdown_write()
            digest = hashlib.sha256()
            while data := channel.recv(CHUNK):
                digest.update(data)
                if path in ("/echo", "/slow"):
                    channel.sendall(data)
            self.received[path] = digest.hexdigest()
            if path == "/digest":
                channel.sendall(digest.hexdigest().encode())
            channel.close()
        except (OSError, EOFError):
            return  # the carrier was closed

    def close(self) -> None:
        self.let_read.set()
        if self.transport is not None:
            self.transport.close()
        self._listener.close()
        for thread in self._threads:
            thread.join(HANG_S)


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[Peer]:
    made = Peer(tmp_path)
    yield made
    made.close()


def carried(peer: Peer, scenario: Callable[[SshTransport], Awaitable[None]]) -> None:
    """Run `scenario` on a carrier that is connected to `peer`."""

    async def main() -> None:
        carrier = await SshTransport.connect(peer.port, peer.keys)
        try:
            async with asyncio.timeout(HANG_S):
                await scenario(carrier)
        finally:
            await carrier.close()

    asyncio.run(main())


async def echoed(carrier: SshTransport, data: bytes = b"ping") -> bytes:
    stream = await carrier.open_stream(UnixTarget("/echo"))
    await stream.write(data)
    await stream.write_eof()
    heard = b""
    while part := await stream.read():
        heard += part
    stream.close()
    return heard


def withheld(peer: Peer, count: int) -> None:
    """Wait until `count` channels are left unanswered."""
    assert peer.transport is not None
    with peer.transport.news:
        assert peer.transport.news.wait_for(lambda: len(peer.transport.withheld) == count, HANG_S)  # type: ignore[union-attr]


def test_opens_that_are_not_answered_hold_up_nothing_else(peer: Peer) -> None:
    async def scenario(carrier: SshTransport) -> None:
        before = await carrier.open_stream(UnixTarget("/echo"))
        opens = [asyncio.create_task(carrier.open_stream(UnixTarget("/withheld"))) for _ in range(20)]
        await asyncio.to_thread(withheld, peer, 20)
        await before.write(b"still alive")
        assert await before.read() == b"still alive"
        assert await asyncio.gather(*(echoed(carrier) for _ in range(10))) == [b"ping"] * 10
        with pytest.raises(TunnelError, match="nothing answers at /refused in the VM"):
            await carrier.open_stream(UnixTarget("/refused"))
        assert not any(task.done() for task in opens)
        for task in opens:
            task.cancel()
        await asyncio.gather(*opens, return_exceptions=True)

    carried(peer, scenario)


def test_too_many_unanswered_opens_are_refused_clearly(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh, "OPENINGS_LIMIT", 5)

    async def scenario(carrier: SshTransport) -> None:
        opens = [asyncio.create_task(carrier.open_stream(UnixTarget("/withheld"))) for _ in range(5)]
        await asyncio.to_thread(withheld, peer, 5)
        with pytest.raises(TunnelError, match="has not answered 5 connections"):
            await carrier.open_stream(UnixTarget("/echo"))
        for task in opens[:3]:  # opens that were given up still count: five are unanswered
            task.cancel()
        await asyncio.gather(*opens[:3], return_exceptions=True)
        with pytest.raises(TunnelError, match="has not answered 5 connections"):
            await carrier.open_stream(UnixTarget("/echo"))
        assert peer.transport is not None
        peer.transport.release()
        for stream in await asyncio.gather(*opens[3:]):
            stream.close()
        assert await echoed(carrier) == b"ping"

    carried(peer, scenario)


def test_an_open_that_is_never_answered_ends_with_its_reason(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh, "OPEN_LIMIT_S", 0.1)

    async def scenario(carrier: SshTransport) -> None:
        with pytest.raises(TunnelError, match="no answer to a connection to /withheld in the VM within 0 s"):
            await carrier.open_stream(UnixTarget("/withheld"))

    carried(peer, scenario)


def test_closing_ends_the_opens_that_wait(peer: Peer) -> None:
    async def scenario(carrier: SshTransport) -> None:
        opens = [asyncio.create_task(carrier.open_stream(UnixTarget("/withheld"))) for _ in range(3)]
        await asyncio.to_thread(withheld, peer, 3)
        await carrier.close()
        for ended in await asyncio.gather(*opens, return_exceptions=True):
            assert isinstance(ended, TunnelError)
            assert "the tunnel into the VM is broken" in str(ended)

    carried(peer, scenario)


def test_each_direction_ends_by_itself(peer: Peer) -> None:
    async def scenario(carrier: SshTransport) -> None:
        assert await echoed(carrier, b"x" * 100_000) == b"x" * 100_000, "the answer comes after our end"
        stream = await carrier.open_stream(UnixTarget("/first"))
        assert (await stream.read(), await stream.read()) == (b"hello", b"")
        await stream.write(b"after the peer's end")
        await stream.write_eof()
        stream.close()

    carried(peer, scenario)


def test_much_data_passes_both_ways_at_once(peer: Peer) -> None:
    data = os.urandom(BIG)

    async def scenario(carrier: SshTransport) -> None:
        stream = await carrier.open_stream(UnixTarget("/echo"))
        digest = hashlib.sha256()

        async def read() -> None:
            while part := await stream.read():
                digest.update(part)

        reading = asyncio.create_task(read())
        for begin in range(0, BIG, CHUNK):
            await stream.write(data[begin : begin + CHUNK])
        await stream.write_eof()
        await reading
        stream.close()
        assert digest.digest() == hashlib.sha256(data).digest()

    carried(peer, scenario)


def test_peers_that_do_not_read_hold_up_nothing_else(peer: Peer) -> None:
    """Each blocks only its own writer. There are more of them than a pool would have threads."""

    async def scenario(carrier: SshTransport) -> None:
        slow = [await carrier.open_stream(UnixTarget("/slow")) for _ in range(70)]
        written, all_full = 0, asyncio.Event()

        async def fill(stream: ssh.SshStream) -> None:
            nonlocal written
            while True:
                await stream.write(bytes(CHUNK))
                written += CHUNK
                if written == len(slow) * PEER_WINDOW:
                    all_full.set()

        full = [asyncio.create_task(fill(stream)) for stream in slow]
        await all_full.wait()
        assert await echoed(carrier, b"y" * 200_000) == b"y" * 200_000
        assert not any(task.done() for task in full)
        for task in full:
            task.cancel()
        await asyncio.gather(*full, return_exceptions=True)
        for stream in slow:
            stream.close()

    carried(peer, scenario)


def test_the_host_agent_does_not_load_what_only_ssh_needs() -> None:
    """They are most of the agent's start otherwise."""
    code = "import desktop.hostagent.agent, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG_S, check=True)
    assert {"paramiko", "cryptography", "desktop.tunnel.ssh"} & set(done.stdout.split()) == set()
