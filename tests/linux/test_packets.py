"""Messages with descriptors between processes: sizes, order, and that no error path leaks a descriptor."""

from __future__ import annotations

import errno
import os
import resource
import socket
from collections.abc import Iterator

import pytest

from vmagent.linux import packets
from vmagent.linux.packets import INLINE_BYTES, Link, PeerLost


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends; afterwards no descriptor more than before may be open."""
    before = open_descriptors()
    pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    yield pair
    for end in pair:
        end.close()
    assert open_descriptors() == before


def open_descriptors() -> list[str]:
    return sorted(os.listdir("/proc/self/fd"))[:-1]  # without the one of the listing


def send_until_full(sock: socket.socket) -> None:
    while True:
        packets.send(sock, {"text": "x" * (INLINE_BYTES + 1)})  # its memfd must go too


@pytest.mark.parametrize("size", [10, INLINE_BYTES + 1, 5_000_000])
def test_a_message_and_its_descriptors(ends: tuple[socket.socket, socket.socket], size: int) -> None:
    reader, writer = os.pipe()
    message = {"text": "ä" * (size // 6), "numbers": [1, -2, 0.5], "none": None}
    packets.send(ends[0], message, [writer])
    os.close(writer)
    received, fds = packets.receive(ends[1])
    assert received == message
    assert [os.get_inheritable(fd) for fd in fds] == [False]
    os.write(fds[0], b"through")
    os.close(fds[0])
    assert os.read(reader, 100) == b"through"
    os.close(reader)


def test_a_socket_that_does_not_block_says_so(ends: tuple[socket.socket, socket.socket]) -> None:
    ends[1].setblocking(False)
    with pytest.raises(BlockingIOError):
        packets.receive(ends[1])
    ends[0].setblocking(False)
    with pytest.raises(BlockingIOError):
        send_until_full(ends[0])


def test_the_end_and_what_is_no_message(ends: tuple[socket.socket, socket.socket]) -> None:
    for data in (b"{", b"[]", b'{"memfd":5}', b'{"memfd":"x"}', b"\xff"):
        socket.send_fds(ends[0], [data], [0, 1])
        with pytest.raises(PeerLost, match="not a message"):
            packets.receive(ends[1])
    socket.send_fds(ends[0], [b"x" * (INLINE_BYTES + 100)], [0])
    with pytest.raises(PeerLost, match="cut"):
        packets.receive(ends[1])
    ends[0].close()
    with pytest.raises(PeerLost, match="closed"):
        packets.receive(ends[1])
    with pytest.raises(PeerLost):
        packets.send(ends[1], {}, [0])


def test_a_link_queues_with_copies_of_its_own(ends: tuple[socket.socket, socket.socket]) -> None:
    link = Link(ends[0].dup())
    count = 0
    while not link.is_behind:
        link.send({"number": count, "text": "x" * 30_000})
        count += 1
    reader, writer = os.pipe()
    link.send({"number": count}, [writer])
    os.close(writer)
    other = Link(ends[1].dup())
    for number in range(count + 1):
        link.flush()
        received = other.receive()
        assert received is not None
        assert received[0]["number"] == number
        for fd in received[1]:
            os.write(fd, b"late")
            os.close(fd)
    assert other.receive() is None
    assert os.read(reader, 10) == b"late"
    os.close(reader)
    while not link.is_behind:
        link.send({"text": "x" * 30_000}, [0])
    link.close()  # with what waits
    other.close()


def test_no_descriptor_is_left_when_they_are_used_up(ends: tuple[socket.socket, socket.socket]) -> None:
    link = Link(ends[0].dup())
    while not link.is_behind:
        link.send({"text": "x" * 30_000})
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in open_descriptors())
    before = open_descriptors()
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 3, hard))
    try:
        with pytest.raises(OSError, match="Too many open files") as raised:
            link.send({}, [0] * (highest + 10))  # each is copied to wait in the queue
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert raised.value.errno == errno.EMFILE
    assert open_descriptors() == before
    link.close()
