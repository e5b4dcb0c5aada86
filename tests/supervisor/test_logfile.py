"""The log files: what was written is read back in order, from the beginning, by tail and by time."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.supervisor.conftest import by_line, read_all
from vmagent.supervisor import logfile, logwriter
from vmagent.supervisor.logfile import LogEntry, LogReader
from vmagent.supervisor.logwriter import STDERR, STDOUT, StreamWriter, open_writer

PIECES = st.lists(st.tuples(st.sampled_from((STDOUT, STDERR)), st.text("ab\n\r", min_size=1, max_size=9)), max_size=40)


class Log:
    """Writes like the supervisor: bytes into the payload, then their record."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.writers: dict[int, StreamWriter] = {stream: open_writer(str(folder), stream) for stream in (1, 2)}
        self.now = 0

    def write(self, stream: int, data: bytes) -> int:
        writer = self.writers[stream]
        os.write(writer.payload_fd, data)
        self.now = writer.record(len(data), self.now)
        return self.now

    def close(self) -> None:
        for writer in self.writers.values():
            writer.close()


def expected(pieces: list[tuple[int, bytes, int]]) -> list[LogEntry]:
    """The entries that a reader must return, computed by a simple reference implementation."""
    rest: dict[int, bytes] = {}
    when: dict[int, int] = {}
    lines = []
    for stream, data, time_ns in pieces:
        *whole, rest[stream] = (rest.get(stream, b"") + data).split(b"\n")
        when[stream] = time_ns
        lines += [LogEntry(stream, time_ns, line + b"\n") for line in whole]
    left = [LogEntry(stream, when[stream], data) for stream, data in rest.items() if data]
    return lines + sorted(left, key=lambda entry: entry.time_ns)


def test_a_record_that_the_disk_takes_in_part_leaves_the_next_ones_in_order(tmp_path: Path) -> None:
    log = Log(tmp_path / "c")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        log.write(STDOUT, b"one\n")
        resource.setrlimit(resource.RLIMIT_FSIZE, (logwriter.RECORD.size + 16, hard))  # 16 bytes of the next one fit
        with pytest.raises(OSError, match="No space left"):
            log.write(STDOUT, b"two\n")
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        log.write(STDOUT, b"three\n")
        assert [entry.data for entry in read_all(log.folder)] == [b"one\n", b"two\n", b"three\n"]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        log.close()


@given(PIECES, st.integers(0, 12), st.integers(0, 60), st.integers(0, 60))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
def test_any_output_is_read_back_by_line_tail_and_time(
    tmp_path: Path, pieces: list[tuple[int, str]], tail: int, since: int, until: int
) -> None:
    folder = tmp_path / str(len(list(tmp_path.iterdir())))
    log = Log(folder)
    try:
        done = [(stream, text.encode(), log.write(stream, text.encode())) for stream, text in pieces]
        lines = expected(done)
        assert read_all(folder) == lines
        assert read_all(folder, tail=tail) == (lines[-tail:] if tail else [])
        if done:
            since_ns = done[min(since, len(done) - 1)][2]
            until_ns = done[min(until, len(done) - 1)][2]
            assert read_all(folder, since_ns=since_ns) == [entry for entry in lines if entry.time_ns >= since_ns]
            before = [piece for piece in done if piece[2] <= until_ns]
            assert read_all(folder, until_ns=until_ns) == expected(before)
            if tail:
                assert read_all(folder, until_ns=until_ns, tail=tail) == expected(before)[-tail:]
        raw = read_all(folder, raw=True)
        assert [(entry.stream, entry.data) for entry in raw] == [(stream, data) for stream, data, _ in done]
    finally:
        log.close()


@given(PIECES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
def test_a_reader_that_follows_gets_every_line_once_in_order(tmp_path: Path, pieces: list[tuple[int, str]]) -> None:
    folder = tmp_path / str(len(list(tmp_path.iterdir())))
    log = Log(folder)
    try:
        with LogReader(folder) as reader:
            got = reader.read()
            done = []
            for stream, text in pieces:
                done.append((stream, text.encode(), log.write(stream, text.encode())))
                got += reader.read()
            assert by_line(got + reader.finish()) == expected(done)
    finally:
        log.close()


def test_the_next_supervisor_finds_what_a_kill_left(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    log.write(STDOUT, b"one\n")
    os.write(log.writers[STDOUT].payload_fd, b"two\n")  # as after a kill before the record was written
    os.write(log.writers[STDOUT].index_fd, b"torn")  # as after a kill while a record was written
    log.close()
    again = open_writer(str(tmp_path / "log"), STDOUT)
    os.write(again.payload_fd, b"three\n")
    again.record(6, again.last_ns)
    again.close()
    entries = read_all(tmp_path / "log")
    assert [entry.data for entry in entries] == [b"one\n", b"two\n", b"three\n"]
    assert sorted({entry.time_ns for entry in entries}) == [entry.time_ns for entry in entries]


@pytest.mark.parametrize("kept", [b"", b"one\n", b"one\ntw", b"one\ntwo\n"])
def test_a_log_whose_bytes_a_loss_of_power_took_ends_where_they_end(tmp_path: Path, kept: bytes) -> None:
    """The index was written to the disk, the payload in part."""
    folder = tmp_path / "log"
    log = Log(folder)
    for line in (b"one\n", b"two\n", b"three\n"):
        log.write(STDOUT, line)
    log.write(STDERR, b"error\n")
    log.close()
    os.truncate(folder / "log.1", len(kept))
    read = [entry.data for entry in read_all(folder)]
    assert sorted(read) == sorted([*kept.splitlines(keepends=True), b"error\n"]), "nobody has mended it yet"
    assert logwriter.mend(str(folder), lost_power=False)
    assert not logwriter.mend(str(folder), lost_power=False), "it is mended"
    again = open_writer(str(folder), STDOUT)
    os.write(again.payload_fd, b"new\n")
    again.record(4, again.last_ns)
    again.close()
    assert sorted(b"".join(entry.data for entry in read_all(folder)).splitlines()) == sorted(
        (kept + b"new\nerror\n").splitlines()
    )
    with LogReader(folder, tail=1) as reader:
        assert [entry.data.endswith(b"new\n") for entry in reader.read()] == [True]


def test_zeros_at_the_end_are_output_unless_power_was_lost(tmp_path: Path) -> None:
    """ext4 may write a file's size before its last bytes, which are zeros then."""
    folder = tmp_path / "log"
    log = Log(folder)
    log.write(STDOUT, b"one\n")
    log.write(STDOUT, b"two\0\0" + bytes(70_000))
    log.close()
    assert not logwriter.mend(str(folder), lost_power=False)
    with (folder / "log.1.idx").open("ab") as index:
        index.write(bytes(2 * logwriter.RECORD.size + 5))
    assert logwriter.mend(str(folder), lost_power=True)
    assert [entry.data for entry in read_all(folder)] == [b"one\n", b"two"]
    assert (folder / "log.1").stat().st_size == 7
    assert not logwriter.mend(str(folder), lost_power=True)


def test_bytes_without_a_record_are_shown_although_nobody_writes_the_log_again(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    log.write(STDOUT, b"one\n")
    os.write(log.writers[STDOUT].payload_fd, b"two\n")
    log.close()
    assert [entry.data for entry in read_all(tmp_path / "log")] == [b"one\n"]
    assert logwriter.mend(str(tmp_path / "log"), lost_power=False)
    assert [entry.data for entry in read_all(tmp_path / "log")] == [b"one\n", b"two\n"]


def test_a_line_without_end_is_given_out_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logfile, "MAX_LINE_BYTES", 10)
    log = Log(tmp_path / "log")
    for _ in range(5):
        log.write(STDOUT, b"abcd")
    log.close()
    assert [entry.data for entry in read_all(tmp_path / "log")] == [b"abcdabcdabcd", b"abcdabcd"]


def test_a_log_that_is_not_there_is_empty_until_it_is(tmp_path: Path) -> None:
    with LogReader(tmp_path / "log", tail=3) as reader:
        assert reader.read() == []
        log = Log(tmp_path / "log")
        log.write(STDERR, b"x\n")
        log.close()
        assert [entry.data for entry in reader.read()] == [b"x\n"]


@pytest.mark.parametrize("size", [1, 7, 64, 100_000])
def test_records_that_lie_together_are_read_together(
    tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line a record, as a program writes that is slow: a read of the file takes many of them."""
    log = Log(tmp_path / "log")
    done = []
    for number in range(300):
        stream, data = (STDERR if number % 50 == 7 else STDOUT), b"%d\n" % number
        done.append((stream, data, log.write(stream, data)))
    log.close()
    calls = []
    pread = os.pread

    def counted(fd: int, length: int, offset: int) -> bytes:
        calls.append(length)
        return pread(fd, length, offset)

    with LogReader(log.folder) as reader:
        monkeypatch.setattr(os, "pread", counted)
        entries = []
        while more := reader.read(size):
            entries += more
    assert by_line(entries) == expected(done)
    if size > 300:  # six lines of the other stream lie between them
        of_index = (logwriter.RECORD.size, 1024 * logwriter.RECORD.size)
        assert len([length for length in calls if length not in of_index]) <= 13, calls


def test_a_carriage_return_ends_no_line(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    log.write(STDOUT, b"10 %\r100 %\nnext\r\n\n\x0bx\n")
    log.close()
    assert [entry.data for entry in read_all(tmp_path / "log")] == [b"10 %\r100 %\n", b"next\r\n", b"\n", b"\x0bx\n"]
    assert [entry.data for entry in read_all(tmp_path / "log", tail=2)] == [b"\n", b"\x0bx\n"]
