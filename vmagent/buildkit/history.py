"""What builds there were: records with their output, on disk, for `docker buildx history` and `Control.Status`.

One file a build, `REF.build`: the length of the record (4 bytes, big-endian), the record (BuildHistoryRecord), and the
reports (StatusResponse). It is written behind the build's end: a build does not wait for the disk to be in the history.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

import structlog

from vmagent.buildkit import messages as pb
from vmagent.buildkit.filesync import OnDisk
from vmagent.buildkit.protobuf import DecodeError, nanoseconds
from vmagent.buildkit.status import StatusLog
from vmagent.durable import publish, sweep
from vmagent.errors import NotFound

log = structlog.get_logger(__name__)

KEPT = 100  # builds; pinned ones do not count
KEPT_BYTES = 64 << 20  # of their files
_REF = re.compile(r"[A-Za-z0-9_-]{1,128}")
_SUFFIX = ".build"


class History:
    """All builds: those that ran, and those that run now."""

    def __init__(self, folder: Path, on_disk: OnDisk) -> None:
        self._folder, self._on_disk = folder, on_disk
        self._records: dict[str, pb.BuildHistoryRecord] = {}
        self._sizes: dict[str, int] = {}  # of the files
        self._active: dict[str, pb.BuildHistoryRecord] = {}
        self._running: dict[str, tuple[StatusLog, Callable[[], object]]] = {}
        self._listeners: set[asyncio.Queue[pb.BuildHistoryEvent]] = set()
        self._unwritten: dict[str, pb.StatusResponse] = {}  # of builds whose files are not written yet
        self._surplus_files: set[Path] = set()
        self._changing = asyncio.Lock()  # held while files change
        self._tending: asyncio.Task[None] | None = None  # writes and removes what the two before it name

    def open(self) -> None:
        """Blocks. Read the records; a file that cannot be read is removed. Errors are logged: builds go on."""
        unreadable = []
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            sweep(self._folder)
            for file in self._folder.glob(f"*{_SUFFIX}"):
                record = _read(file)[0]
                if record is None:
                    unreadable.append(file)
                else:
                    self._records[record.Ref] = record
                    self._sizes[record.Ref] = file.stat().st_size
        except OSError as e:
            log.warning("build_history.not_loaded", error=str(e))
        _unlink(unreadable)

    def started(self, record: pb.BuildHistoryRecord, status: StatusLog, cancel: Callable[[], object]) -> None:
        """`status` gets the build's reports, `cancel` ends it."""
        self._active[record.Ref] = record
        self._running[record.Ref] = status, cancel
        self._publish(pb.HISTORY_STARTED, record)

    def ended(self, record: pb.BuildHistoryRecord, reports: pb.StatusResponse) -> None:
        """Keep it, and forget the oldest beyond `KEPT` and `KEPT_BYTES`. On a full disk it is kept in memory only.

        It is on the disk after `settle`.
        """
        self._active.pop(record.Ref, None)
        self._running.pop(record.Ref, None)
        self._records[record.Ref] = record
        if _REF.fullmatch(record.Ref):
            self._sizes[record.Ref] = _size(record, reports)
            self._unwritten[record.Ref] = reports
        for one in self._surplus():
            del self._records[one.Ref]
            self._forget(one)
        self._publish(pb.HISTORY_COMPLETE, record)
        self._begin_tending()

    async def settle(self) -> None:
        """Wait until the files are as the records are now."""
        if self._tending is not None:
            await asyncio.wait([self._tending])

    def _begin_tending(self) -> None:
        if self._tending is None:
            self._tending = asyncio.create_task(self._tend(), name="build history")

    async def _tend(self) -> None:
        """Write and remove files until none is left to be."""
        try:
            while self._unwritten or self._surplus_files:
                async with self._changing:
                    surplus, self._surplus_files = self._surplus_files, set()
                    if surplus:
                        await self._on_disk(_unlink, surplus)
                    if self._unwritten:
                        await self._write_next()
        finally:
            self._tending = None

    async def _write_next(self) -> None:
        ref, reports = next(iter(self._unwritten.items()))
        try:
            await self._on_disk(_write, self._file(ref), self._records[ref], reports)
        except OSError as e:
            log.warning("build_history.not_saved", ref=ref, error=str(e))
        if self._unwritten.get(ref) is reports:  # not of another build with that name
            del self._unwritten[ref]

    def _surplus(self) -> list[pb.BuildHistoryRecord]:
        """What goes beyond the limits. The newest build stays, however large it is."""
        listed = _newest(one for one in self._records.values() if not one.pinned)
        total, kept = 0, 0
        for one in listed[:KEPT]:
            total += self._sizes.get(one.Ref, 0)
            if kept and total > KEPT_BYTES:
                break
            kept += 1
        return listed[kept:]

    def all(self) -> list[pb.BuildHistoryRecord]:
        """Those that run, then the newest first."""
        return [*_newest(self._active.values()), *_newest(self._records.values())]

    def get(self, ref: str) -> pb.BuildHistoryRecord:
        """Raises NotFound."""
        record = self._active.get(ref) or self._records.get(ref)
        if record is None:
            raise NotFound(f"no such build: {ref}")
        return record

    def running(self, ref: str) -> StatusLog | None:
        """The reports of a build that runs."""
        found = self._running.get(ref)
        return None if found is None else found[0]

    def cancel(self, ref: str) -> bool:
        """End a build that runs; False: it does not."""
        found = self._running.get(ref)
        if found is not None:
            found[1]()
        return found is not None

    async def reports(self, ref: str) -> pb.StatusResponse | None:
        """Of a build that has ended; None if there is none."""
        if ref not in self._records or not _REF.fullmatch(ref):
            return None
        if (found := self._unwritten.get(ref)) is not None:
            return found
        return (await self._on_disk(_read, self._file(ref)))[1]

    async def update(self, ref: str, *, pinned: bool, delete: bool) -> None:
        """Raises NotFound."""
        record = self._records.get(ref)
        if record is None:
            raise NotFound(f"failed to retrieve bucket for {ref}: not found")
        if delete:
            self._forget(self._records.pop(ref))
            self._begin_tending()
            await self.settle()
            return
        record.pinned = pinned
        async with self._changing:
            reports = await self.reports(ref)
            if reports is not None:
                await self._on_disk(_write, self._file(ref), record, reports)
        self._publish(pb.HISTORY_COMPLETE, record)

    async def listen(self, request: pb.BuildHistoryRequest) -> AsyncIterator[pb.BuildHistoryEvent]:
        """What there is, then, unless the request wants an early exit, what happens."""
        queue: asyncio.Queue[pb.BuildHistoryEvent] = asyncio.Queue()
        self._listeners.add(queue)
        try:
            for record in sorted(self._active.values(), key=lambda one: nanoseconds(one.CreatedAt)):
                if not request.Ref or record.Ref == request.Ref:
                    yield pb.BuildHistoryEvent(type=pb.HISTORY_STARTED, record=record)
            if not request.ActiveOnly:
                found = [
                    record for record in _newest(self._records.values()) if not request.Ref or record.Ref == request.Ref
                ]
                for record in found[: request.Limit or None]:
                    yield pb.BuildHistoryEvent(type=pb.HISTORY_COMPLETE, record=record)
            while not request.EarlyExit:
                event = await queue.get()
                if not request.Ref or event.record.Ref == request.Ref:
                    yield event
        finally:
            self._listeners.discard(queue)

    def _forget(self, record: pb.BuildHistoryRecord) -> None:
        """Forget a record that is no longer in `_records`. Its file is left to `_tend`."""
        self._sizes.pop(record.Ref, None)
        self._unwritten.pop(record.Ref, None)
        if _REF.fullmatch(record.Ref):
            self._surplus_files.add(self._file(record.Ref))
        self._publish(pb.HISTORY_DELETED, record)

    def _file(self, ref: str) -> Path:
        return self._folder / f"{ref}{_SUFFIX}"

    def _publish(self, kind: int, record: pb.BuildHistoryRecord) -> None:
        for queue in self._listeners:
            queue.put_nowait(pb.BuildHistoryEvent(type=kind, record=record))


def _newest(records: Iterable[pb.BuildHistoryRecord]) -> list[pb.BuildHistoryRecord]:
    """The newest first."""
    return sorted(records, key=lambda one: nanoseconds(one.CreatedAt), reverse=True)


def _size(record: pb.BuildHistoryRecord, reports: pb.StatusResponse) -> int:
    return 4 + record.ByteSize() + reports.ByteSize()


def _write(file: Path, record: pb.BuildHistoryRecord, reports: pb.StatusResponse) -> None:
    head = record.SerializeToString()
    publish(file, len(head).to_bytes(4, "big") + head + reports.SerializeToString(), durable=False)


def _read(file: Path) -> tuple[pb.BuildHistoryRecord | None, pb.StatusResponse | None]:
    try:
        data = file.read_bytes()
        size = int.from_bytes(data[:4], "big")
        record = pb.BuildHistoryRecord.FromString(data[4 : 4 + size])
        reports = pb.StatusResponse.FromString(data[4 + size :])
    except (OSError, ValueError, DecodeError):
        return None, None
    return (record, reports) if record.Ref else (None, None)


def _unlink(files: Iterable[Path]) -> None:
    """What can't be removed stays until the next engine tries, and is logged."""
    for file in files:
        try:
            file.unlink(missing_ok=True)
        except OSError as e:
            log.warning("build_history.not_removed", file=file.name, error=str(e))
