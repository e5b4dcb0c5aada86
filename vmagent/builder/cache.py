"""The build cache: which step, on which files, made which layer.

A record is one file `builds/cache/<key>.json`: {"schema": 1, "key", "kind", "layer", "size", "description",
"created_ns", "used_ns", "uses"}. A key is the digest of everything that decides the result: the step, the layers below
it, the content of the files that it reads; no time and no name of an image. The layer itself is in the image store,
where the records are a root of the garbage collection. A record of kind `exec.cachemount` or `source.local` has no
layer, but a folder of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import re
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog

from vmagent.durable import publish, sweep
from vmagent.errors import BadRequest
from vmagent.images.config import timestamp
from vmagent.images.roots import Reachable
from vmagent.linux.trees import remove_tree
from vmagent.paths import DataRoot

log = structlog.get_logger(__name__)

SCHEMA = 1
REGULAR, CACHE_MOUNT, CONTEXT = "regular", "exec.cachemount", "source.local"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
USES_S = 10.0  # after this time the times of the last use are written
_AGE = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_UNIT_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def key_of(*parts: object) -> str:
    """The key of what `parts` describe: JSON values in a fixed order."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheRecord:
    """`layer`: the diff_id; "" for a cache mount, whose folder is `builds/mounts/<key>`. Times: ns since 1970."""

    key: str
    kind: str
    layer: str
    size: int
    description: str
    created_ns: int
    used_ns: int
    uses: int = 1

    @property
    def created(self) -> str:
        """RFC 3339, for the image's history."""
        return _time(self.created_ns)

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "key": self.key,
            "kind": self.kind,
            "layer": self.layer,
            "size": self.size,
            "description": self.description,
            "created_ns": self.created_ns,
            "used_ns": self.used_ns,
            "uses": self.uses,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> CacheRecord:
        """Raises KeyError, TypeError, ValueError (a newer schema)."""
        if data["schema"] != SCHEMA:
            raise ValueError(f"cache record of schema {data['schema']}")
        return cls(**{key: value for key, value in data.items() if key != "schema"})


@dataclass(frozen=True, slots=True)
class PruneFilters:
    """Which records a prune takes. `until_ns`: not used since then. `keep_bytes`: stop when no more is left; with
    `counts_own` no more of those that `fields` means. `free_bytes`: stop when so much was freed; None: no such bound.

    `fields`: the values that a field of `_fields` may have.
    """

    until_ns: int | None = None
    keep_bytes: int = 0
    ids: tuple[str, ...] = ()
    fields: Mapping[str, Collection[str]] = field(default_factory=dict)
    counts_own: bool = False
    free_bytes: int | None = None

    def means(self, record: CacheRecord, *, in_use: bool) -> bool:
        """Whether it is one of `fields`."""
        found = _fields(record, in_use=in_use)
        return all(found[key] in values for key, values in self.fields.items())

    def takes(self, record: CacheRecord, *, in_use: bool) -> bool:
        if self.until_ns is not None and record.used_ns > self.until_ns:
            return False
        if self.ids and not any(record.key.startswith(one) for one in self.ids):
            return False
        return self.means(record, in_use=in_use)


@dataclass(frozen=True, slots=True)
class Policy:
    """A rule of the collection that follows each build: records of `kinds` (none: of all) that were not used for
    `unused_s` go, least recently used first, until those kinds have no more than `keep_bytes`, or, if that is None,
    than `KEPT_SHARE` of the disk."""

    unused_s: float
    keep_bytes: int | None
    kinds: tuple[str, ...] = ()

    def filters(self, now_ns: int, disk_bytes: int) -> PruneFilters:
        """`disk_bytes`: the size of the file system."""
        keep = disk_bytes // KEPT_SHARE if self.keep_bytes is None else self.keep_bytes
        until_ns = now_ns - int(self.unused_s * 1e9) if self.unused_s else None
        fields = {"type": self.kinds} if self.kinds else {}
        return PruneFilters(until_ns=until_ns, keep_bytes=keep, fields=fields, counts_own=True)


KEPT_SHARE = 10  # of the file system's size the cache may fill one part, as under docker
# docker's (docs.docker.com, "Build garbage collection"): what is cheap to have again goes first, and then what is old.
POLICIES = (
    Policy(48 * 3600, 512 << 20, (CONTEXT, CACHE_MOUNT)),
    Policy(60 * 24 * 3600, None),
    Policy(0, None),
)


def _fields(record: CacheRecord, *, in_use: bool) -> dict[str, str]:
    """What a prune can select by, as BuildKit writes it. No record has a parent or is shared."""
    return {
        "type": record.kind,
        "description": record.description,
        "parent": "",
        "inuse": str(in_use).lower(),
        "shared": "false",
        "private": "true",
    }


def age_ns(text: str) -> int:
    """A Go duration such as `24h` as nanoseconds. Raises BadRequest."""
    if not text or _AGE.sub("", text):
        raise BadRequest(f'failed to parse until: time: invalid duration "{text}"')
    return int(sum(float(number) * _UNIT_S[unit] * 1e9 for number, unit in _AGE.findall(text)))


class Cache:
    """All records in memory; a change is on disk when `settle` returns. Used on the event loop, except `load`.

    When a record was last used and how often is written later, `USES_S` after a `settle`: a build that finds all its
    steps in the cache does not wait for the disk. A kill of the engine loses these figures, and no more.
    """

    def __init__(self, data_root: DataRoot) -> None:
        self._root = data_root
        self._records: dict[str, CacheRecord] = {}
        self._dirty: set[str] = set()
        self._touched: set[str] = set()  # only used, nothing else changed
        self._saving = asyncio.Lock()  # a record that was dropped must not be written by an older call
        self._closing = asyncio.Event()
        self._later: asyncio.Task[None] | None = None  # writes `_touched`
        self._in_use: dict[str, int] = {}
        self._leaving: set[str] = set()  # dropped, and maybe on disk still

    def load(self) -> None:
        """Read the records; blocks. One that can't be read is removed: the step just runs again. Raises OSError."""
        for folder in (self._root.builds, self._root.build_cache, self._root.build_mounts):
            folder.mkdir(mode=0o700, exist_ok=True)
        sweep(self._root.build_cache)
        self._records.clear()
        for path in self._root.build_cache.glob("*.json"):
            try:
                record = CacheRecord.from_json(json.loads(path.read_bytes()))
            except (KeyError, TypeError, ValueError) as e:
                log.info("build_cache.unreadable", path=str(path), error=repr(e))
                path.unlink()
                continue
            self._records[record.key] = record
        self._load_contexts()

    def _load_contexts(self) -> None:
        """Keep the folders that have records; none of an earlier boot, as a crash may have lost contents of files."""
        folder, boot_id = self._root.build_contexts, BOOT_ID.read_bytes()
        marker = folder / "boot-id"
        try:
            is_current = marker.read_bytes() == boot_id
        except OSError:
            is_current = False
        if not is_current:
            remove_tree(str(folder))
            folder.mkdir(mode=0o700)
            publish(marker, boot_id)
        there = {entry.name for entry in folder.iterdir() if entry.is_dir()}
        known = {key for key, record in self._records.items() if record.kind == CONTEXT}
        for key in known - there:
            del self._records[key]
            (self._root.build_cache / f"{key}.json").unlink()
        for name in there - known:
            remove_tree(str(folder / name))

    def reachable(self) -> Reachable:
        """The layers that records name: a root of the image store."""
        return Reachable.of(record.layer for record in self._records.values() if record.layer)

    def get(self, key: str) -> CacheRecord | None:
        """The record, counted as used; None if there is none."""
        record = self._records.get(key)
        if record is not None:
            record = replace(record, used_ns=time.time_ns(), uses=record.uses + 1)
            self._records[key] = record
            self._touched.add(key)
        return record

    def peek(self, key: str) -> CacheRecord | None:
        """The record, not counted as used."""
        return self._records.get(key)

    def put(self, record: CacheRecord) -> None:
        """Keep a record. It is on disk after `settle`."""
        self._records[record.key] = record
        self._dirty.add(record.key)

    def drop(self, key: str) -> None:
        """Forget a record whose layer is gone. It leaves the disk at `settle`."""
        if self._records.pop(key, None) is not None:
            self._dirty.add(key)
            self._leaving.add(key)

    def is_leaving(self, key: str) -> bool:
        """Whether the record was dropped, and its folder may be about to be removed."""
        return key in self._leaving

    def is_used(self, key: str) -> bool:
        """Whether a running build relies on the record, or on the folder of a record to come."""
        return key in self._in_use

    def use(self, key: str) -> None:
        """A running build relies on the record: a prune leaves it alone until `release`."""
        self._in_use[key] = self._in_use.get(key, 0) + 1

    def release(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._in_use[key] -= 1
            if not self._in_use[key]:
                del self._in_use[key]

    async def settle(self) -> None:
        """Bring the changes to the disk. What a full disk refuses stays in memory, and the next call tries again."""
        await self._save(self._dirty)
        if self._touched and self._later is None and not self._closing.is_set():
            self._later = asyncio.get_running_loop().create_task(self._save_uses(), name="build cache's uses")

    async def close(self) -> None:
        """Bring everything to the disk. No build may be running."""
        self._closing.set()
        if self._later is not None:
            await self._later
        await self._save(self._dirty | self._touched)

    async def _save_uses(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), USES_S)
        self._later = None
        await self._save(self._touched)

    async def _save(self, keys: Collection[str]) -> None:
        async with self._saving:
            changes = {key: self._records.get(key) for key in keys}
            if not changes:
                return
            self._dirty -= changes.keys()
            self._touched -= changes.keys()
            try:
                await asyncio.to_thread(self._write, changes)
            except OSError as e:
                self._dirty |= changes.keys()
                log.warning("build_cache.not_saved", records=len(changes), error=str(e))
            finally:
                self._leaving.difference_update(key for key, record in changes.items() if record is None)

    def _write(self, changes: dict[str, CacheRecord | None]) -> None:
        for key, record in changes.items():
            path = self._root.build_cache / f"{key}.json"
            if record is None:
                path.unlink(missing_ok=True)
                for folder in (self.mount_folder(key), self.context_folder(key)):
                    remove_tree(str(folder))
            else:
                # Not flushed: after a power cut the step runs again, and a torn record is dropped when it is read.
                publish(path, json.dumps(record.to_json()).encode(), durable=False)

    def mount_folder(self, key: str) -> Path:
        """Where the content of a cache mount is."""
        return self._root.build_mounts / key

    def context_folder(self, key: str) -> Path:
        """Where a client's folder is kept."""
        return self._root.build_contexts / key

    def contexts(self) -> list[CacheRecord]:
        """The records of clients' folders, most recently used first."""
        return [record for record in self._ordered(newest_first=True) if record.kind == CONTEXT]

    # --- what users see

    def usage(self) -> list[dict[str, Any]]:
        """BuildCache items of GET /system/df, most recently used first."""
        return [self._item(record) for record in self._ordered(newest_first=True)]

    def _item(self, record: CacheRecord) -> dict[str, Any]:
        return {
            "ID": record.key[:25],
            "Parent": "",
            "Parents": None,
            "Type": record.kind,
            "Description": record.description,
            "InUse": record.key in self._in_use,
            "Shared": False,
            "Size": record.size,
            "CreatedAt": _time(record.created_ns),
            "LastUsedAt": _time(record.used_ns),
            "UsageCount": record.uses,
        }

    def _ordered(self, *, newest_first: bool) -> Sequence[CacheRecord]:
        return sorted(self._records.values(), key=lambda record: record.used_ns, reverse=newest_first)

    async def prune(self, filters: PruneFilters) -> tuple[list[str], int]:
        """Forget records that no build uses, least recently used first. Returns (ids, bytes). Raises OSError."""
        left = sum(
            record.size
            for record in self._records.values()
            if not filters.counts_own or filters.means(record, in_use=record.key in self._in_use)
        )
        gone: list[str] = []
        freed = 0
        for record in self._ordered(newest_first=False):
            if filters.keep_bytes and left <= filters.keep_bytes:
                break
            if filters.free_bytes is not None and freed >= filters.free_bytes:
                break
            if record.key in self._in_use or not filters.takes(record, in_use=record.key in self._in_use):
                continue
            self.drop(record.key)
            gone.append(record.key[:25])
            freed += record.size
            left -= record.size
        await self.settle()
        return gone, freed

    async def collect(self, disk_bytes: int) -> int:
        """Keep to `POLICIES` on a file system of that size; the bytes that were freed. Raises OSError."""
        now_ns = time.time_ns()
        return sum([(await self.prune(one.filters(now_ns, disk_bytes)))[1] for one in POLICIES])

    def records(self) -> list[CacheRecord]:
        return list(self._records.values())


def _time(ns: int) -> str:
    return timestamp(datetime.fromtimestamp(ns / 1e9, UTC))
