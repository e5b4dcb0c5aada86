"""A container's log as lines with their time, stream and level, read in a thread and passed on in batches."""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from desktop.client.engine import ApiError, ConnectionFailed, EngineClient, ProtocolError
from desktop.ui.kit.words import counted, from_rfc3339

TAIL = 5_000
MOST_PENDING = TAIL + 1_000  # lines that wait to be shown: the first page fits
NOTE = 0  # the stream of the window's own words
LINE_LIMIT = 16 * 1024  # a longer line is shown in pieces, as the engine stores it
# ECMA-48 control sequences: colours and cursor moves mean nothing in a list of lines.
ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])|[\x00-\x08\x0b-\x1f\x7f]")
LEVEL = re.compile(
    r"^\s*[\[<(]?(TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|ERR|FATAL|CRITICAL|PANIC)[\]>)]?[:\s]\s*", re.I
)
TROUBLE = re.compile(r"^(Traceback \(most recent|panic:|fatal:|[\w.]+(?:Error|Exception):)")


class Level(IntEnum):
    NONE = 0
    PLAIN = 1
    WARNING = 2
    ERROR = 3


@dataclass(frozen=True, slots=True)
class LogLine:
    """`stream` is 1 for stdout, 2 for stderr; `at_s` Unix seconds; `word` the level as written at the line's start;
    `source` whose line it is, in a view of several."""

    at_s: float
    stream: int
    text: str
    level: Level = Level.NONE
    word: str = ""
    at_ns: int = 0
    source: str = ""

    @property
    def is_note(self) -> bool:
        """Not printed by the container: the window's own words about lines that are left out."""
        return self.stream == NOTE


RawLine = tuple[int, bytes]  # stream, and the line with its time


def note(text: str, at_ns: int = 0) -> LogLine:
    """A line of the window's own; `at_ns` is its place among the others."""
    return LogLine(0.0, NOTE, text, at_ns=at_ns)


def nanoseconds(stamp: str) -> int:
    """Unix nanoseconds of an RFC 3339 time in UTC; 0 if it is none."""
    head, _, fraction = stamp.rstrip("Z").partition(".")
    seconds = from_rfc3339(head + "Z")
    return 0 if seconds is None else round(seconds) * 10**9 + int(fraction.ljust(9, "0")[:9] or 0)


def parse_raw(line: RawLine) -> LogLine:
    """Parse `<RFC 3339 time> <text>`; text without a time is kept, too."""
    stream, data = line
    text = data.decode("utf-8", "replace").rstrip("\r")
    stamp, space, rest = text.partition(" ")
    if space and stamp[:4].isdigit() and "T" in stamp:
        return parse(stamp, stream, rest)
    return parse("", stream, text)


def parse(stamp: str, stream: int, text: str) -> LogLine:
    """Parse one line without its newline; a level at its start is moved to `word`."""
    text = ESCAPES.sub("", text.replace("\t", "    "))
    at_ns = nanoseconds(stamp) if stamp else 0
    at_s = at_ns / 1e9
    if found := LEVEL.match(text):
        word = found[1].upper()
        level = (
            Level.ERROR
            if word in ("ERROR", "ERR", "FATAL", "CRITICAL", "PANIC")
            else Level.WARNING
            if word.startswith("WARN")
            else Level.PLAIN
        )
        return LogLine(at_s, stream, text[found.end() :], level, word, at_ns)
    return LogLine(at_s, stream, text, Level.ERROR if TROUBLE.match(text) else Level.NONE, at_ns=at_ns)


class LineSplitter:
    """Joins frames to whole lines: `<RFC 3339 time> <text>\\n`, separately for each stream."""

    def __init__(self) -> None:
        self._rest: dict[int, bytes] = {}

    def feed(self, stream: int, data: bytes) -> list[LogLine]:
        return [parse_raw(line) for line in self.feed_raw(stream, data)]

    def end(self) -> list[LogLine]:
        """The unfinished last lines, which have no newline."""
        return [parse_raw(line) for line in self.end_raw()]

    def feed_raw(self, stream: int, data: bytes) -> list[RawLine]:
        """The whole lines so far, not parsed yet."""
        *lines, rest = (self._rest.get(stream, b"") + data).split(b"\n")
        if len(rest) > LINE_LIMIT:
            lines.append(rest)
            rest = b""
        self._rest[stream] = rest
        return [(stream, line) for line in lines]

    def end_raw(self) -> list[RawLine]:
        rest, self._rest = self._rest, {}
        return [(stream, line) for stream, line in rest.items() if line]


class LogReader:
    """Follows one container's log in a thread; `ready` is called in that thread when `take` has new lines.

    A container may print faster than anybody can read or this window can show. Only the newest `MOST_PENDING` lines
    wait for `take`; those before are dropped unparsed, and counted.
    """

    def __init__(
        self, client: EngineClient, container_id: str, *, tty: bool, ready: Callable[[], None], tail: int = TAIL
    ) -> None:
        self._client, self._id, self._tty, self._ready, self._tail = client, container_id, tty, ready, tail
        self._lock = threading.Lock()
        self._lines: deque[RawLine] = deque()
        self._skipped = 0
        self._told = False
        self._stream: Any = None
        self.closed = False
        self.ended = False
        self.problem = ""

    def run(self, since: str | None = None) -> None:
        """Read until the log ends or `close` is called. Runs in its own thread."""
        splitter = LineSplitter()
        try:
            stream = self._client.logs(
                self._id,
                follow=True,
                tail="all" if since else self._tail,
                timestamps=True,
                since=since,
                tty=self._tty,
            )
            with self._lock:
                self._stream = stream
                if self.closed:
                    stream.close()
            for frame in stream:
                self._put(splitter.feed_raw(frame.stream, frame.data))
        except (ApiError, ConnectionFailed, ProtocolError, OSError) as e:
            self.problem = str(e)
        self._put(splitter.end_raw())
        self.ended = True
        self._tell()

    def take(self) -> list[LogLine]:
        """The lines since the last call; a note stands for those that were dropped."""
        with self._lock:
            raw, self._lines, self._told = self._lines, deque(), False
            skipped, self._skipped = self._skipped, 0
        lines = [parse_raw(line) for line in raw]
        if skipped:
            text = counted(skipped, "{n} line was skipped to keep up", "{n} lines were skipped to keep up")
            lines.insert(0, note(text))
        return lines

    def close(self) -> None:
        with self._lock:
            self.closed = True
            if self._stream is not None:
                self._stream.close()

    def _put(self, lines: list[RawLine]) -> None:
        if lines:
            with self._lock:
                self._lines.extend(lines)
                while len(self._lines) > MOST_PENDING:
                    self._lines.popleft()
                    self._skipped += 1
            self._tell()

    def _tell(self) -> None:
        with self._lock:
            told, self._told = self._told, True
        if not told and not self.closed:
            self._ready()
