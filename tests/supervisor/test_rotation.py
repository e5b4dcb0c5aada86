"""A log with limits: what is kept, what readers get, and a supervisor killed before each system call of a rotation."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import pytest

from tests.supervisor.conftest import Container, Engine, Keeper, read_all
from vmagent.supervisor import logwriter, rotation, splicing
from vmagent.supervisor.keeping import Keeping
from vmagent.supervisor.logfile import LogEntry, LogReader, latest_payload
from vmagent.supervisor.logwriter import STDERR, STDOUT, StreamWriter
from vmagent.supervisor.rotation import Rotation
from vmagent.supervisor.splicing import LogSplicer

WithEngine = Callable[[], AbstractAsyncContextManager[Engine]]
KEY = "container x"
SIZE = 1024  # the smallest possible size of a generation


class Killed(BaseException):
    """Raised in place of a call: the supervisor counts as killed."""


class KeeperOfOne:
    """In place of the keeper: stores data and descriptors of one entry, each message as a whole or not at all."""

    def __init__(self) -> None:
        self.words: dict[str, Any] = {}
        self.fds: dict[str, int] = {}
        self.budget = [-1]  # see `Counted`

    def put(self, _key: str, data: Mapping[str, Any], fds: Mapping[str, int]) -> None:
        _spend(self.budget)
        self.words.update(data)
        for name, fd in fds.items():
            if name in self.fds:
                os.close(self.fds[name])
            self.fds[name] = os.dup(fd)

    def close(self) -> None:
        for fd in self.fds.values():
            os.close(fd)


class Supervised:
    """Pipes, a log with limits, and the supervisor's objects between them.

    `kill` and `take_over` replace these objects, as when a supervisor is killed and the next one starts.
    """

    def __init__(self, folder: Path, *, files: int = 3, streams: tuple[int, ...] = (STDOUT, STDERR)) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.keeper = KeeperOfOne()
        self.inputs: dict[int, int] = {}
        self.last_ns = 0
        self.rotation = self._rotation(rotation.new_entry(str(folder), SIZE, files))
        self.rotation.begin()
        self.splicers = []
        for stream in reversed(streams):
            reader, self.inputs[stream] = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
            self.splicers.append(LogSplicer(stream, reader, self.rotation.open_writer(stream)))
        self.splicers.reverse()
        self.rotation.watch(self.splicers)
        fds = {name: fd for one in self.splicers for name, fd in one.fds().items()}
        self.keeper.put(KEY, {"rotation": self.rotation.entry()}, fds)

    def _rotation(self, words: Mapping[str, Any]) -> Rotation:
        return Rotation(words, KEY, cast("Keeping", self.keeper))

    def write(self, stream: int, data: bytes) -> None:
        assert os.write(self.inputs[stream], data) == len(data)

    def move(self) -> None:
        for one in self.splicers:
            _, self.last_ns = one.run(self.last_ns)

    def kill(self) -> None:
        for one in self.splicers:
            one.close()

    def take_over(self) -> None:
        fds = {name: os.dup(fd) for name, fd in self.keeper.fds.items()}
        self.rotation = self._rotation(self.keeper.words["rotation"])
        self.splicers, self.last_ns = [], 0
        for stream in sorted(self.inputs):
            writer = StreamWriter(fds[f"log{stream}"], fds[f"idx{stream}"])
            self.splicers.append(LogSplicer(stream, fds[f"src{stream}"], writer))
            self.last_ns = max(self.last_ns, writer.last_ns)
        self.rotation.watch(self.splicers)
        self.rotation.resume()

    def generations(self) -> list[int]:
        return logwriter.generations(str(self.folder), STDOUT)

    def close(self) -> None:
        self.kill()
        self.keeper.close()
        for fd in self.inputs.values():
            os.close(fd)


@contextlib.contextmanager
def supervised(folder: Path, **options: Any) -> Iterator[Supervised]:
    made = Supervised(folder, **options)
    try:
        yield made
    finally:
        made.close()


class Counted:
    """A module, `os` or `fcntl`, whose calls count down a budget; at zero a call raises `Killed` and does nothing."""

    def __init__(self, module: ModuleType, budget: list[int]) -> None:
        self._module, self._budget = module, budget
        self._opened: set[int] = set()

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._module, name)
        if not callable(value) or isinstance(value, type):
            return value

        def call(*args: Any, **kwargs: Any) -> Any:
            _spend(self._budget)
            result = value(*args, **kwargs)
            if name == "open":
                self._opened.add(result)
            return result

        return call

    def close(self, fd: int) -> None:
        """Not counted, since the kernel closes the descriptors of a killed supervisor too."""
        self._opened.discard(fd)
        os.close(fd)

    def close_all(self) -> None:
        """Close what the code under test opened and had no time to close, as the kernel does after SIGKILL."""
        for fd in self._opened:
            os.close(fd)
        self._opened.clear()


def _spend(budget: list[int]) -> None:
    if budget[0] == 0:
        raise Killed
    budget[0] -= 1


def text(entries: list[LogEntry], stream: int = STDOUT) -> bytes:
    return b"".join(entry.data for entry in entries if entry.stream == stream)


def read_on(reader: LogReader) -> list[LogEntry]:
    found = []
    while more := reader.read():
        found += more
    return found


def test_a_supervisor_killed_before_any_call_of_a_rotation_loses_and_doubles_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunks = [(STDERR if number % 3 == 0 else STDOUT, b"line %03d %s\n" % (number, b"x" * 90)) for number in range(36)]
    everything = {stream: b"".join(data for one, data in chunks if one == stream) for stream in (STDOUT, STDERR)}
    kills = 0
    while True:
        budget = [kills]
        with (
            monkeypatch.context() as patch,
            supervised(tmp_path / str(kills), files=2) as log,
            LogReader(log.folder) as reader,
        ):
            log.keeper.budget = budget
            calls = Counted(os, budget)
            for module in (splicing, logwriter, rotation):
                patch.setattr(module, "os", calls)
            patch.setattr(rotation, "fcntl", Counted(fcntl, budget))
            followed: list[LogEntry] = []
            killed = False
            for stream, data in chunks:
                log.write(stream, data)
                try:
                    log.move()
                except Killed:
                    killed = True
                    budget[0] = -1
                    log.kill()
                    calls.close_all()
                    followed += read_on(reader)
                    log.take_over()
                    log.move()
                left, budget[0] = budget[0], -1
                followed += read_on(reader)
                budget[0] = left
            budget[0] = -1
            assert [entry.time_ns for entry in followed] == sorted({entry.time_ns for entry in followed})
            for stream in (STDOUT, STDERR):
                assert text(followed, stream) == everything[stream], kills
            kept = read_all(log.folder)
            assert kept == followed[-len(kept) :], kills
            assert sum(len(entry.data) + logwriter.RECORD.size for entry in kept) > SIZE
            assert sum(path.stat().st_size for path in log.folder.iterdir()) <= 2 * SIZE, kills
            assert len(log.generations()) == 2
            assert len(list(log.folder.iterdir())) == 8, "something is left of those that were deleted"
        if not killed:
            break
        kills += 1
    assert kills > 200, kills


def test_lines_of_deleted_beginnings_are_left_out_and_all_others_whole(tmp_path: Path) -> None:
    chance = random.Random(7)
    with supervised(tmp_path / "log") as log, LogReader(log.folder, raw=True) as reader:
        done: list[tuple[int, bytes]] = []
        lines: dict[int, bytes] = {STDOUT: b"", STDERR: b""}
        raw: list[LogEntry] = []
        for number in range(400):
            stream = chance.choice((STDOUT, STDOUT, STDERR))
            data = b"%d:" % number + b"y" * chance.choice((3, 40, 200, 1500)) + chance.choice((b"\n", b"\n", b""))
            done.append((stream, data))
            lines[stream] += data
            log.write(stream, data)
            log.move()
            raw += read_on(reader)
            if number % 20 == 0:
                kept = read_all(log.folder)
                for one in (STDOUT, STDERR):
                    mine = [entry.data for entry in kept if entry.stream == one]
                    if not mine:
                        continue
                    whole = lines[one].splitlines(keepends=True)
                    assert mine == whole[-len(mine) :]
                for tail in (1, 2, 5):
                    assert read_all(log.folder, tail=tail) == kept[-tail:]
                for entry in (kept[0], kept[len(kept) // 2], kept[-1]):
                    since = [one for one in kept if one.time_ns >= entry.time_ns]
                    assert read_all(log.folder, since_ns=entry.time_ns) == since
                    until = [one for one in kept if one.time_ns <= entry.time_ns]
                    assert [one for one in read_all(log.folder, until_ns=entry.time_ns) if one in until] == until
        for one in (STDOUT, STDERR):
            assert text(raw, one) == lines[one]
        assert len(log.generations()) == 3
        assert latest_payload(log.folder).stat().st_ino == os.fstat(log.splicers[0].writer.payload_fd).st_ino


def test_who_reads_keeps_what_comes_after_and_no_longer_than_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def line(number: int) -> bytes:
        return b"%04d %s\n" % (number, b"z" * 200)

    with (
        supervised(tmp_path / "log", streams=(STDOUT,)) as log,
        LogReader(log.folder, tail=0) as slow,
        LogReader(log.folder) as done,
    ):
        for number in range(40):
            log.write(STDOUT, line(number))
            log.move()
        assert log.generations()[0] == 1
        assert len(log.generations()) > 8
        assert text(read_on(slow)) == text(read_on(done)) == b"".join(map(line, range(40)))
        for number in range(40, 60):
            log.write(STDOUT, line(number))
            log.move()
            read_on(done)
        assert len(log.generations()) > 4  # the slow reader still holds its lock
        slow.close()
        for number in range(60, 70):
            log.write(STDOUT, line(number))
            log.move()
            read_on(done)
        assert len(log.generations()) == 3
        monkeypatch.setattr(rotation, "_HELD_BYTES", 3 * SIZE)
        for number in range(70, 110):
            log.write(STDOUT, line(number))
            log.move()
        assert len(log.generations()) == 3
        # The reader has missed some output, and continues with the lines that still exist, all complete.
        mine = [int(one) for one in text(read_on(done)).split()[::2]]
        assert mine == sorted(set(mine))
        assert set(mine) > {*range(100, 110)}
        assert 12 < len(mine) < 30


@pytest.mark.parametrize("streams", [(STDOUT,), (STDOUT, STDERR)])
def test_a_reader_that_was_there_before_the_files_gets_every_byte(tmp_path: Path, streams: tuple[int, ...]) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    with LogReader(folder, tail=0) as reader:
        assert reader.read() == []
        with supervised(folder, files=1, streams=streams) as log:
            for number in range(60):
                log.write(streams[-1], b"%04d %s\n" % (number, b"z" * 90))
                log.move()
            assert len(log.generations()) > 4
            assert [int(entry.data[:4]) for entry in read_on(reader)] == [*range(60)]
            # A container with a terminal has no second stream: the reader must not hold a lock to wait for it.
            for _ in range(60):
                log.write(streams[-1], b"z" * 90)
                log.move()
                read_on(reader)
            assert len(log.generations()) <= 2  # two if the reader has only just left the older one


def limited(container: Container, size: int, files: int) -> Any:
    return replace(container.request(), log_limits=(size, files))


def test_a_flood_is_followed_without_a_gap_while_the_supervisor_is_killed(
    with_engine: WithEngine, keeper: Keeper
) -> None:
    """With a real supervisor, SIGKILL, pipes and a terminal: followers get all output, the log keeps its last part."""
    script = "i=0; while [ $i -lt 6 ]; do i=$((i+1)); seq 1 5000; seq 1 500 >&2; done; exit 3"
    everything = {
        1: 6 * b"".join(b"%d\n" % n for n in range(1, 5001)),
        2: 6 * b"".join(b"%d\n" % n for n in range(1, 501)),
    }

    async def scenario() -> None:
        async with with_engine() as engine:
            pipes, terminal = engine.container("sh", "-c", script), engine.container("sh", "-c", script, tty=True)
            stop = threading.Event()
            got: dict[str, list[LogEntry]] = {one.id: [] for one in (pipes, terminal)}

            def follow(container: Container) -> None:
                with LogReader(container.folder, raw=True, tail=0) as reader:
                    ready.wait()
                    is_over = False
                    while not is_over:
                        is_over = stop.wait(0.001)
                        got[container.id] += read_on(reader)

            ready = threading.Barrier(3)
            threads = [threading.Thread(target=follow, args=(one,)) for one in (pipes, terminal)]
            for thread in threads:
                thread.start()
            try:
                await asyncio.to_thread(ready.wait)
                for one in (pipes, terminal):
                    await engine.client.spawn(limited(one, 4096, 3))
                for _ in range(6):
                    await asyncio.to_thread(keeper.kill, "cove-supervisor")
                for one in (pipes, terminal):
                    assert (await one.end()).exit_code == 3
            finally:
                stop.set()
                for thread in threads:
                    await asyncio.to_thread(thread.join)
            for stream, expected in everything.items():
                assert text(got[pipes.id], stream) == expected
            shown = text(got[terminal.id]).replace(b"\r", b"")
            assert sorted(shown.splitlines()) == sorted(b"".join(everything.values()).splitlines())
            for one in (pipes, terminal):
                kept = one.log()
                assert text(got[one.id]).endswith(text(kept))
                assert kept
            # The followers have ended: the next run deletes the generations that were kept for them.
            pipes.run = 2
            await engine.client.spawn(limited(pipes, 4096, 3))
            await pipes.end()
            sizes = [path.stat().st_size for path in pipes.folder.glob("log.*")]
            assert sum(sizes) <= 3 * 4096
            assert len(sizes) == 12

    asyncio.run(scenario())
