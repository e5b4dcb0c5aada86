"""HTTP replies and docker's frames are parsed correctly wherever the bytes are split."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desktop.client.wire import Frame, FrameReader, ProtocolError, ResponseReader

ANSWERS: dict[str, tuple[bytes, bytes, bool]] = {
    "length": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello", True),
    "empty": (b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n", b"", True),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
    "chunks": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3;x=y\r\n wo\r\n0\r\n\r\n",
        b"hello wo",
        True,
    ),
    "trailer": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n\r\n\r\n0\r\nX-Sum: 1\r\n\r\n",
        b"\r\n",
        True,
    ),
    "closing": (
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"ok",
        False,
    ),
    "continue": (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", b"x", True),
}


def _read(reader: ResponseReader, pieces: list[bytes]) -> bytes:
    body = b""
    for piece in pieces:
        reader.feed(piece)
        if reader.head() is not None:
            body += reader.body()
    return body


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.spec("RFC 9112, section 6: message body")
def test_an_answer_is_the_same_at_every_cut(name: str) -> None:
    wire, expected, keeps = ANSWERS[name]
    for cut in range(len(wire) + 1):
        reader = ResponseReader("GET")
        assert _read(reader, [wire[:cut], wire[cut:]]) == expected
        assert (reader.done, reader.keep_alive) == (True, keeps)
    reader = ResponseReader("GET")
    assert _read(reader, [wire[at : at + 1] for at in range(len(wire))]) == expected
    assert reader.done


def test_a_body_without_length_goes_to_the_end_of_the_connection() -> None:
    reader = ResponseReader("GET")
    assert _read(reader, [b"HTTP/1.1 200 OK\r\n\r\nab", b"cd"]) == b"abcd"
    assert not reader.done
    reader.end()
    assert reader.done
    assert not reader.keep_alive


def test_head_has_no_body_whatever_its_length_says() -> None:
    reader = ResponseReader("HEAD")
    reader.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n")
    assert reader.head() is not None
    assert reader.done


@pytest.mark.parametrize("cut", range(1, 4))
def test_an_answer_cut_short_is_an_error(cut: int) -> None:
    for wire, _, _ in (ANSWERS["length"], ANSWERS["chunks"]):
        reader = ResponseReader("GET")
        _read(reader, [wire[:-cut]])
        with pytest.raises(ProtocolError, match="closed within"):
            reader.end()


@pytest.mark.parametrize(
    "wire",
    [
        b"nonsense\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
        b"x" * 70_000,
    ],
)
def test_what_is_no_http_is_refused(wire: bytes) -> None:
    reader = ResponseReader("GET")
    with pytest.raises(ProtocolError):
        _read(reader, [wire, b"", b""])


def test_what_follows_an_upgrade_is_not_http() -> None:
    wire = b"HTTP/1.1 101 UPGRADED\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n\r\nraw"
    for cut in range(len(wire) - 3, len(wire) + 1):
        reader = ResponseReader("POST")
        reader.feed(wire[:cut])
        head = reader.head()
        assert head is not None
        assert reader.upgraded
        assert reader.rest() + wire[cut:] == b"raw"


def _wire(frame: Frame) -> bytes:
    return bytes([frame.stream, 0, 0, 0]) + len(frame.data).to_bytes(4, "big") + frame.data


_FRAMES = st.lists(st.builds(Frame, st.integers(1, 2), st.binary(max_size=300)), max_size=8)


@given(_FRAMES, st.integers(0, 2000))
@pytest.mark.spec("Engine API, ContainerAttach, Stream format")
def test_frames_survive_any_cut_of_the_stream(frames: list[Frame], cut: int) -> None:
    wire = b"".join(map(_wire, frames))
    reader = FrameReader()
    got = []
    for piece in (wire[:cut], wire[cut:]):
        reader.feed(piece)
        got += list(iter(reader.take, None))
    assert got == frames
    assert reader.take() is None


def test_a_frame_of_no_stream_is_refused() -> None:
    reader = FrameReader()
    reader.feed(b"HTTP/1.1 ")
    with pytest.raises(ProtocolError, match="bad stdio frame"):
        reader.take()
