"""What containers have used: for each a sample a second for ten minutes, and one a minute for a day.

A container's samples are in a file of its folder in the exec root, that is, in memory: `open`, `pwrite` and `close` for
each sample. So they cost the engine no memory, outlive it, and end with the container or with a boot. The file has
slots of one size: 600 for seconds, then 1440 for minutes. A sample's slot is its number modulo the ring's size, so a
reader finds the order again by the numbers, and nothing else has to be kept in step.
"""

from __future__ import annotations

import asyncio
import os
import struct
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple

import structlog

from vmagent.containers.jsonobject import JsonObject
from vmagent.engine.background import Background
from vmagent.engine.events import EventBus, EventsLost
from vmagent.engine.registry import Registry
from vmagent.engine.usage import Sample, UsageReader, Wanted, read
from vmagent.paths import ExecRoot

log = structlog.get_logger(__name__)

SECONDS, MINUTES = 600, 1440  # slots
PERIOD_S = 1.0
MAX_SHARE = 0.01  # of one CPU: with so many containers, or so slow a machine, that more is needed, samples come later
_STARTS = {"type": ("container",), "event": ("start",)}
_MINUTE_NS = 60_000_000_000


class Point(NamedTuple):
    """A sample as it is kept. A minute's one has the largest memory and number of processes of that minute."""

    number: int  # from 1; 0: an empty slot
    at_ns: int
    cpu_ns: int
    memory_bytes: int
    pids: int
    run: int
    read_bytes: int
    written_bytes: int
    received_bytes: int
    sent_bytes: int


class Points(NamedTuple):
    """A container's history, oldest first."""

    container_id: str
    seconds: list[Point]
    minutes: list[Point]

    def to_json(self) -> JsonObject:
        """`UsageHistory` of openapi.yaml: a list for each field, a third as long as an object for each point."""
        return {"id": self.container_id, "seconds": _columns(self.seconds), "minutes": _columns(self.minutes)}


def _columns(points: Sequence[Point]) -> JsonObject:
    return {
        "at_ms": [point.at_ns // 1_000_000 for point in points],
        **{name: [getattr(point, name) for point in points] for name in Point._fields[2:]},
    }


_SLOT = struct.Struct("<QQQQIIQQQQ")  # the fields of Point
FILE_BYTES = (SECONDS + MINUTES) * _SLOT.size  # at most; less at first: pages that were never written take no memory


class Rings:
    """Where the one writer of a container's file is in it. It begins after what another engine has recorded. Blocks.

    The file's path is passed each time: kept, it would take more memory than all the rest.
    """

    __slots__ = ("_memory_bytes", "_minute", "_minute_of", "_pids", "_second")

    def __init__(self, path: str) -> None:
        """Raises OSError."""
        seconds, minutes = load(path)
        self._second = seconds[-1].number if seconds else 0  # number of the last sample in each ring
        self._minute = minutes[-1].number if minutes else 0
        self._minute_of = minutes[-1].at_ns // _MINUTE_NS if minutes else 0  # minutes since 1970
        self._memory_bytes = self._pids = 0  # the largest since the last minute's sample

    def append(self, path: str, sample: Sample) -> None:
        """Raises FileNotFoundError if the container was removed, OSError."""
        self._memory_bytes = max(self._memory_bytes, sample.memory_bytes)
        self._pids = max(self._pids, sample.pids)
        minute = sample.at_ns // _MINUTE_NS
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._second += 1
            point = _point(sample, self._second, sample.memory_bytes, sample.pids)
            os.pwrite(fd, _SLOT.pack(*point), self._second % SECONDS * _SLOT.size)
            if minute != self._minute_of:  # the first sample of a minute closes the one before
                self._minute += 1
                point = _point(sample, self._minute, self._memory_bytes, self._pids)
                os.pwrite(fd, _SLOT.pack(*point), (SECONDS + self._minute % MINUTES) * _SLOT.size)
                self._minute_of, self._memory_bytes, self._pids = minute, 0, 0
        finally:
            os.close(fd)


class History:
    """Records all running containers as a task of the engine, until its tasks end."""

    def __init__(
        self, registry: Registry, bus: EventBus, background: Background, reader: UsageReader, exec_root: ExecRoot
    ) -> None:
        self._registry, self._bus, self._background = registry, bus, background
        self._reader, self._exec_root = reader, exec_root
        self._rings: dict[str, Rings] = {}  # of containers that ran at the last sample; used in a disk thread
        self._has_failed = False

    def open(self) -> None:
        self._background.spawn(self._record(), "history of usage")

    async def points(self, ref: str) -> Points:
        """What container `ref` has used, whether it runs or not. Raises NotFound, BadRequest, OSError."""
        container_id = self._registry.find(ref).id
        seconds, minutes = await self._background.on_disk(load, self._exec_root.usage(container_id))
        return Points(container_id, seconds, minutes)

    async def _record(self) -> None:
        clock = asyncio.get_running_loop().time
        due = clock()
        while True:
            wanted = self._reader.wanted(self._registry)
            if not wanted:
                with suppress(EventsLost):
                    await anext(self._bus.subscribe(filters=_STARTS))
                due = clock()
                continue
            took_s = await self._background.on_disk(self._sample, wanted)
            due = max(due + max(PERIOD_S, took_s / MAX_SHARE), clock())
            await asyncio.sleep(due - clock())

    def _sample(self, wanted: Sequence[Wanted]) -> float:
        """Read and keep a sample of each container. Returns the seconds of CPU time that it took."""
        began_s = time.thread_time()
        try:
            rings = {}
            for sample in read(wanted):
                path = self._exec_root.usage(sample.container_id)
                one = self._rings.get(sample.container_id) or Rings(path)
                with suppress(FileNotFoundError):  # the container was removed meanwhile
                    one.append(path, sample)
                    rings[sample.container_id] = one
            self._rings, self._has_failed = rings, False
        except OSError as e:
            if not self._has_failed:
                log.warning("usage.not_recorded", error=str(e))
            self._has_failed = True
        return time.thread_time() - began_s


def load(path: str) -> tuple[list[Point], list[Point]]:
    """The seconds' and the minutes' samples in a file; none if it does not exist. Blocks. Raises OSError."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return [], []
    whole = len(data) // _SLOT.size * _SLOT.size
    slots = [Point._make(fields) for fields in _SLOT.iter_unpack(data[:whole])]
    return _in_order(slots[:SECONDS]), _in_order(slots[SECONDS:])


def _in_order(slots: Iterable[Point]) -> list[Point]:
    return sorted(slot for slot in slots if slot.number)


def _point(sample: Sample, number: int, memory_bytes: int, pids: int) -> Point:
    return Point(
        number=number,
        at_ns=sample.at_ns,
        cpu_ns=sample.cpu_ns,
        memory_bytes=memory_bytes,
        pids=pids,
        run=sample.run,
        read_bytes=sample.read_bytes,
        written_bytes=sample.written_bytes,
        received_bytes=sample.received_bytes,
        sent_bytes=sample.sent_bytes,
    )
