"""Older parts of a container's log, read on request. All of it blocks, so call it from a worker."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from desktop.client.engine import EngineClient
from desktop.ui.containers.log_lines import LineSplitter, LogLine, RawLine, parse_raw

PAGE = 5_000  # lines


@dataclass(frozen=True, slots=True)
class Edge:
    """Where a view begins: the time of its first line (Unix ns), and how many of its lines have that very time.

    Lines that were written at once have one time, so a time alone does not tell where one stands among them.
    """

    at_ns: int
    count: int


@dataclass(frozen=True, slots=True)
class Hits:
    """What a search in older lines has found: how many; of the newest, how many lines it is before the edge, and how
    many lines of the log are before it."""

    count: int
    back: int = 0
    index: int = 0


@dataclass(frozen=True, slots=True)
class LogOf:
    """The log of one container. Methods raise the client's errors."""

    client: EngineClient
    container_id: str
    tty: bool

    def _until(self, at_ns: int, last: int | None = None) -> Iterator[RawLine]:
        """The `last` lines (None: all) up to a time, that included."""
        splitter = LineSplitter()
        until = f"{at_ns // 10**9}.{at_ns % 10**9:09d}"
        tail = "all" if last is None else last
        with self.client.logs(self.container_id, timestamps=True, tail=tail, until=until, tty=self.tty) as stream:
            for frame in stream:
                yield from splitter.feed_raw(frame.stream, frame.data)
        yield from splitter.end_raw()

    def before(self, edge: Edge) -> list[LogLine]:
        """The last page before `edge`."""
        raw = list(self._until(edge.at_ns, PAGE + edge.count))
        return [parse_raw(line) for line in raw[: len(raw) - edge.count]]

    def around(self, edge: Edge, hits: Hits) -> tuple[list[LogLine], int]:
        """A page with the newest of `hits` in its middle, and that line's place in it."""
        found = islice(self._until(edge.at_ns, hits.back + edge.count + PAGE // 2), PAGE)
        return [parse_raw(line) for line in found], min(PAGE // 2, hits.index)

    def search(self, text: str, edge: Edge, given_up: threading.Event) -> Hits:
        """Look for `text`, ignoring case, in all lines before `edge`."""
        needle = text.lower().encode()
        found: list[int] = []
        total = 0
        for _stream, line in self._until(edge.at_ns):
            if given_up.is_set():
                break
            if needle in line.partition(b" ")[2].lower():  # the time at the line's start is not part of its text
                found.append(total)
            total += 1
        found = [number for number in found if number < total - edge.count]
        return Hits(len(found), total - edge.count - found[-1], found[-1]) if found else Hits(0)
