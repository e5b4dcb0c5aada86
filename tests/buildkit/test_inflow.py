"""Streams whose contents pass h2: which bytes go where, and what the sender may send next."""

from __future__ import annotations

import asyncio
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmagent.buildkit.inflow import FlowError, Frames
from vmagent.buildkit.rpc import MESSAGE_LIMIT_BYTES, MessageSplitter
from vmagent.errors import EngineError

WINDOW = 1 << 16
DATA, HEADERS, UPDATE = 0, 1, 8
END_STREAM, PADDED = 1, 8


def frame(kind: int, stream: int, payload: bytes = b"", flags: int = 0) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


class Wire:
    """A connection with stream 1 taken."""

    def __init__(self) -> None:
        self.to_h2, self.written = bytearray(), bytearray()
        self.frames = Frames(self.to_h2.extend, self.written.extend, WINDOW)
        self.inflow = self.frames.take(1)

    async def read(self) -> bytes:
        """All that is there now."""
        ended = asyncio.get_running_loop().create_future()
        ended.set_result(None)
        return b"".join([block async for block in self.inflow.blocks(ended)])


@given(st.lists(st.integers(1, 60), max_size=12))
def test_frames_are_split_wherever_the_bytes_are_cut(cuts: list[int]) -> None:
    others = [frame(HEADERS, 1, b"h" * 30), frame(DATA, 3, b"other"), frame(UPDATE, 0, b"\0\0\0\1")]
    mine = [frame(DATA, 1, b"one "), frame(DATA, 1, b"\3two\0\0\0", PADDED), frame(DATA, 1 | 1 << 31, b" three")]
    sent = others[0] + mine[0] + others[1] + mine[1] + mine[2] + others[2]

    async def receive() -> None:
        wire, at = Wire(), 0
        for size in [*cuts, len(sent)]:
            wire.frames.feed(sent[at : at + size])
            at += size
        assert await wire.read() == b"one two three"
        assert wire.to_h2 == b"".join(others)

    asyncio.run(receive())


def test_the_sender_gets_its_window_back() -> None:
    """In parts of a quarter, on the stream and on the connection; what is left at the end, on the connection."""

    async def receive() -> None:
        wire = Wire()
        for _ in range(4):
            wire.frames.feed(frame(DATA, 1, b"x" * 15_000, 0))
            assert await wire.read() == b"x" * 15_000
        credit = struct.pack(">I", 30_000)
        assert wire.written == (frame(UPDATE, 1, credit) + frame(UPDATE, 0, credit)) * 2
        wire.written.clear()
        wire.frames.feed(frame(DATA, 1, b"unread"))
        wire.inflow.close()
        assert wire.written == frame(UPDATE, 0, struct.pack(">I", 6))
        wire.frames.feed(frame(DATA, 1, b"late"))
        assert wire.to_h2 == frame(DATA, 1, b"late")

    asyncio.run(receive())


def test_an_end_without_trailers_reaches_h2() -> None:
    async def receive() -> None:
        wire = Wire()
        wire.frames.feed(frame(DATA, 1, b"last", END_STREAM))
        assert await wire.read() == b"last"
        assert wire.to_h2 == frame(DATA, 1, b"", END_STREAM)

    asyncio.run(receive())


@pytest.mark.parametrize(
    "sent", [frame(DATA, 1, b"x" * 16384) * 5, frame(DATA, 1, b"\5ab", PADDED), frame(DATA, 1, b"", PADDED)]
)
def test_a_sender_that_breaks_the_rules_is_refused(sent: bytes) -> None:
    wire = Wire()
    with pytest.raises(FlowError):
        wire.frames.feed(sent)


def test_a_frame_over_the_limit_is_h2_s_to_refuse_by_its_header() -> None:
    wire = Wire()
    header = frame(DATA, 1, b"x" * 16385)[:9]
    wire.frames.feed(header)
    assert wire.to_h2 == header


def test_what_ends_a_stream_is_raised_behind_its_contents() -> None:
    async def receive() -> list[bytes]:
        wire = Wire()
        ended = asyncio.get_running_loop().create_future()
        found: list[bytes] = []

        async def read() -> None:
            async for block in wire.inflow.blocks(ended):
                found.append(block)

        reading = asyncio.create_task(read())
        await asyncio.sleep(0)
        wire.frames.feed(frame(DATA, 1, b"contents"))
        ended.set_exception(EngineError("reset"))
        with pytest.raises(EngineError, match="reset"):
            await reading
        return found

    assert asyncio.run(receive()) == [b"contents"]


@given(st.lists(st.binary(max_size=20)), st.integers(1, 40))
def test_messages_are_found_in_blocks_of_any_size(messages: list[bytes], size: int) -> None:
    sent = b"".join(b"\0" + len(one).to_bytes(4, "big") + one for one in messages)
    splitter, found = MessageSplitter(), list[bytes]()
    for at in range(0, len(sent), size):
        found += splitter.split(sent[at : at + size])
    assert found == messages


@pytest.mark.parametrize("head", [b"\1\0\0\0\1x", b"\0" + (MESSAGE_LIMIT_BYTES + 1).to_bytes(4, "big")])
def test_a_message_that_is_compressed_or_too_large_is_refused(head: bytes) -> None:
    with pytest.raises(EngineError, match="message of"):
        MessageSplitter().split(head)
