"""A container's log as lines with their time, stream and level, read in a thread and passed on in batches."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from desktop.client.engine import ApiError, ConnectionFailed, EngineClient, ProtocolError
from desktop.ui.kit.words import from_rfc3339

TAIL = 5_000
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
    """`stream` is 1 for stdout, 2 for stderr; `at_s` Unix seconds; `word` the level as written at the line's start."""

    at_s: float
    stream: int
    text: str
    level: Level = Level.NONE
    word: str = ""


def parse(stamp: str, stream: int, text: str) -> LogLine:
    """Parse one line without its newline; a level at its start is moved to `word`."""
    text = ESCAPES.sub("", text.replace("\t", "    "))
    at_s = from_rfc3339(stamp) or 0.0
    if found := LEVEL.match(text):
        word = found[1].upper()
        level = (
            Level.ERROR
            if word in ("ERROR", "ERR", "FATAL", "CRITICAL", "PANIC")
            else Level.WARNING
            if word.startswith("WARN")
            else Level.PLAIN
        )
        return LogLine(at_s, stream, text[found.end() :], level, word)
    return LogLine(at_s, stream, text, Level.ERROR if TROUBLE.match(text) else Level.NONE)


class LineSplitter:
    """Joins frames to whole lines: `<RFC 3339 time> <text>\\n`, separately for each stream."""

    def __init__(self) -> None:
        self._rest: dict[int, bytes] = {}

    def feed(self, stream: int, data: bytes) -> list[LogLine]:
        *lines, rest = (self._rest.get(stream, b"") + data).split(b"\n")
        if len(rest) > LINE_LIMIT:
            lines.append(rest)
            rest = b""
        self._rest[stream] = rest
        return [self._line(stream, line) for line in lines]

    def end(self) -> list[LogLine]:
        """The unfinished last lines, which have no newline."""
        rest, self._rest = self._rest, {}
        return [self._line(stream, line) for stream, line in rest.items() if line]

    @staticmethod
    def _line(stream: int, line: bytes) -> LogLine:
        text = line.decode("utf-8", "replace").rstrip("\r")
        stamp, space, rest = text.partition(" ")
        if space and stamp[:4].isdigit() and "T" in stamp:
            return parse(stamp, stream, rest)
        return parse("", stream, text)


class LogReader:
    """Follows one container's log in a thread; `ready` is called in that thread when `take` has new lines."""

    def __init__(
        self, client: EngineClient, container_id: str, *, tty: bool, ready: Callable[[], None], tail: int = TAIL
    ) -> None:
        self._client, self._id, self._tty, self._ready, self._tail = client, container_id, tty, ready, tail
        self._lock = threading.Lock()
        self._lines: list[LogLine] = []
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
                self._put(splitter.feed(frame.stream, frame.data))
        except (ApiError, ConnectionFailed, ProtocolError, OSError) as e:
            self.problem = str(e)
        self._put(splitter.end())
        self.ended = True
        self._tell()

    def take(self) -> list[LogLine]:
        """The lines since the last call."""
        with self._lock:
            lines, self._lines, self._told = self._lines, [], False
        return lines

    def close(self) -> None:
        with self._lock:
            self.closed = True
            if self._stream is not None:
                self._stream.close()

    def _put(self, lines: list[LogLine]) -> None:
        if lines:
            with self._lock:
                self._lines += lines
            self._tell()

    def _tell(self) -> None:
        with self._lock:
            told, self._told = self._told, True
        if not told and not self.closed:
            self._ready()
