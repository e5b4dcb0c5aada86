"""An exec's window without a supervisor: its size limits, the order of the streams, files that cannot grow."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator

import pytest

from vmagent.supervisor import window as window_module
from vmagent.supervisor.splicing import ENDED, FULL, IDLE, MORE, WindowOwner, WindowSplicer
from vmagent.supervisor.window import WINDOW_BYTES, Window, new_window
from vmagent.supervisor.windowreader import WindowReader

_F_ADD_SEALS, _F_SEAL_GROW = 1033, 4  # linux/fcntl.h, linux/memfd.h


class Owner(WindowOwner):
    def on_read_up(self) -> None:
        pass


class Both:
    """A window, the pipes of the two streams that fill it, and its reader."""

    def __init__(self) -> None:
        self.window = new_window()
        self.writers: dict[int, int] = {}
        self.splicers: dict[int, WindowSplicer] = {}
        self.owner = Owner()
        for stream in (1, 2):
            reader, self.writers[stream] = os.pipe2(os.O_NONBLOCK)
            fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 1 << 20)
            self.splicers[stream] = WindowSplicer(stream, reader, self.window, self.owner)
        self.reader = self.new_reader()

    def new_reader(self) -> WindowReader:
        return WindowReader(os.dup(self.window.payload_fd), os.dup(self.window.index_fd))

    def write(self, stream: int, data: bytes) -> int:
        assert os.write(self.writers[stream], data) == len(data)
        return self.splicers[stream].move()

    def read(self) -> list[tuple[int, bytes]]:
        parts = []
        while (part := self.reader.read(1 << 20)) is not None:
            parts.append(part)
            self.reader.note_delivered()
        return parts

    def close(self) -> None:
        self.reader.close()
        self.window.close()
        for splicer in self.splicers.values():
            splicer.close()
        for fd in self.writers.values():
            os.close(fd)

    def stored_bytes(self) -> int:
        return sum(os.fstat(fd).st_blocks * 512 for fd in (self.window.payload_fd, self.window.index_fd))


@pytest.fixture
def both() -> Iterator[Both]:
    made = Both()
    yield made
    made.close()


def test_both_streams_keep_their_order(both: Both) -> None:
    for number in range(3):
        both.write(1, b"out %d\n" % number)
        both.write(2, b"err %d\n" % number)
    both.write(2, b"more\n")
    expected = [(1, b"out 0\n"), (2, b"err 0\n"), (1, b"out 1\n"), (2, b"err 1\n"), (1, b"out 2\n")]
    assert both.read() == [*expected, (2, b"err 2\nmore\n")]
    both.write(2, b"again")  # needs no record, since the stream does not change
    assert both.read() == [(2, b"again")]


def test_a_reader_goes_on_where_the_last_one_delivered(both: Both) -> None:
    both.write(1, b"delivered")
    both.write(2, b"error")
    assert both.reader.read(4) == (1, b"deli")
    assert not both.reader.note_delivered()
    assert both.reader.read(4) == (1, b"vere")  # read, but not delivered: the client has disconnected
    both.reader.close()
    both.reader = both.new_reader()
    assert both.read() == [(1, b"vered"), (2, b"error")]


def test_a_full_window_holds_the_command_back_until_its_reader_reads(both: Both) -> None:
    chunk = os.urandom(WINDOW_BYTES // 4)
    assert [both.write(1, chunk) for _ in range(4)] == [IDLE, IDLE, IDLE, FULL]
    assert both.window.wait_for_reader()
    os.write(both.writers[1], b"held back")
    assert both.splicers[1].move() == FULL
    assert both.reader.read(WINDOW_BYTES) == (1, 4 * chunk)
    assert both.reader.note_delivered(), "the writer waits: the engine must tell the supervisor"
    assert both.splicers[1].move() == IDLE
    assert both.read() == [(1, b"held back")]


def test_what_was_delivered_takes_no_storage(both: Both) -> None:
    for number in range(100):
        both.write(1 + number % 2, bytes([number]) * (1 << 16))
        assert both.read() == [(1 + number % 2, bytes([number]) * (1 << 16))]
        assert both.stored_bytes() < 2 * WINDOW_BYTES


def test_alternating_streams_are_bounded_too(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window_module, "_MAX_RECORDS", 2048)
    states = [both.write(1 + number % 2, b"x") for number in range(3000)]
    assert FULL in states
    held_back = states.count(FULL)
    read = both.read()
    assert [stream for stream, _ in read] == [1 + number % 2 for number in range(len(read))]
    for splicer in both.splicers.values():
        assert splicer.move() == IDLE
    assert sum(len(data) for _, data in [*read, *both.read()]) == 3000
    assert held_back > 0
    for number in range(20_000):
        assert both.write(1 + number % 2, b"y") == IDLE
        both.read()
    assert both.stored_bytes() < 1 << 20


def test_without_a_client_the_oldest_output_is_dropped(both: Both) -> None:
    both.window.set_attended(False)
    for number in range(64):
        assert both.write(1, bytes([number]) * (1 << 16)) == IDLE
        assert both.stored_bytes() < 2 * WINDOW_BYTES
    again = Window(os.dup(both.window.payload_fd), os.dup(both.window.index_fd))  # as the next supervisor does
    again.resume_writing()
    assert not again.is_attended
    again.close()
    both.reader.close()
    both.reader = both.new_reader()
    [(stream, data)] = both.read()
    assert stream == 1
    assert WINDOW_BYTES // 2 <= len(data) <= WINDOW_BYTES
    assert data.endswith(bytes([63]) * (1 << 16))
    assert b"\0" not in data


def test_files_that_take_no_more_do_not_stop_the_command(both: Both, capfd: pytest.CaptureFixture[str]) -> None:
    sealable = os.memfd_create("sealable", os.MFD_ALLOW_SEALING)
    for fd in (both.window.payload_fd, both.reader._payload_fd):
        os.dup2(sealable, fd, inheritable=False)
    os.close(sealable)
    both.write(1, b"kept")
    fcntl.fcntl(both.window.payload_fd, _F_ADD_SEALS, _F_SEAL_GROW)
    with pytest.raises(PermissionError):
        os.write(both.window.payload_fd, b"x" * 5000)
    assert both.write(1, b"dropped" * 1000) == IDLE
    assert both.read() == [(1, b"kept")]
    os.close(both.writers.pop(1))
    assert both.splicers[1].move() in (MORE, ENDED)
    assert "output is being dropped" in capfd.readouterr().err
