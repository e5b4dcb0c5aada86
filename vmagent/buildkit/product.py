"""The wire on the engine's own builder, image store and build cache."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from pathlib import Path
from typing import Any

from vmagent.builder import exporting
from vmagent.builder.builder import Builder
from vmagent.builder.cache import PruneFilters
from vmagent.builder.indexing import Attest, StoredIndex
from vmagent.builder.packages import Contents
from vmagent.builder.result import BuiltImage
from vmagent.buildkit import messages as pb
from vmagent.buildkit.caches import SessionCaches
from vmagent.buildkit.contexts import KeptFolders
from vmagent.buildkit.exports import SessionExports
from vmagent.buildkit.protobuf import timestamp
from vmagent.buildkit.service import BuildKit, worker_record
from vmagent.engine.engine import Engine
from vmagent.errors import BadRequest

_FILTER = re.compile(r"(id|type|inuse|shared|private|mutable|description)(==|~=)(.*)", re.DOTALL)


async def connect(engine: Engine) -> BuildKit:
    """The wire of an open engine. Raises EngineError, OSError."""
    information = await engine.system.info()
    worker = worker_record(information["ID"], os.uname().nodename, engine.host_gateway())
    caches = SessionCaches(engine.builder, asyncio.to_thread)
    exports = SessionExports(EngineImages(engine), caches, asyncio.to_thread)
    cache = EngineCache(engine.builder)
    history, kept = engine.data_root.build_history, KeptFolders(engine.builder.cache)
    made = BuildKit(history, kept, worker, engine.builder, exports, cache, caches, asyncio.to_thread)
    await made.open()
    return made


class EngineImages:
    """`exports.Images` of the engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def store(self, image: BuiltImage, names: Sequence[str]) -> str:
        return await self._engine.builder.store(image, names)

    async def store_index(
        self, images: Sequence[BuiltImage], names: Sequence[str], attest: Attest | None
    ) -> StoredIndex:
        return await self._engine.builder.store_index(images, names, attest)

    async def contents(self, image: BuiltImage) -> Contents:
        return await self._engine.builder.contents(image)

    def push(self, name: str, auth: Mapping[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        return self._engine.images.push(name, auth=auth)

    def archive(self, images: Sequence[BuiltImage], names: Sequence[str]) -> AsyncGenerator[bytes, None]:
        return self._engine.builder.archive(images, names)

    def files(self, images: Sequence[BuiltImage]) -> AbstractAsyncContextManager[Path]:
        return self._engine.builder.files(images)

    def packed(self, folder: Path) -> AsyncGenerator[bytes, None]:
        return exporting.packed(folder)


class EngineCache:
    """`control.Cache` of the engine's builder."""

    def __init__(self, builder: Builder) -> None:
        self._builder = builder

    async def usage(self, filters: Sequence[str]) -> list[pb.UsageRecord]:
        """Raises BadRequest for a filter that is not understood."""
        wanted = [_parse(text) for text in filters if text]
        return [_record(item) for item in self._builder.usage() if all(_matches(item, *one) for one in wanted)]

    async def prune(self, request: pb.PruneRequest) -> list[pb.UsageRecord]:
        """Raises BadRequest."""
        lacking = await self._builder.lacking(request.minFreeSpace) if request.minFreeSpace else None
        found = {record.ID: record for record in await self.usage(request.filter)}
        is_filtered = any(request.filter)
        filters = PruneFilters(
            until_ns=time.time_ns() - request.keepDuration if request.keepDuration else None,
            keep_bytes=request.maxUsedSpace or request.reservedSpace,
            ids=tuple(found) if is_filtered else (),
            free_bytes=lacking,
        )
        if is_filtered and not found:
            return []
        gone = (await self._builder.prune(filters))["CachesDeleted"] or []
        return [found[one] for one in gone if one in found]


def _parse(text: str) -> tuple[str, str, str]:
    match = _FILTER.fullmatch(text)
    if match is None:
        raise BadRequest(f"invalid filter {text!r}")
    return match[1], match[2], match[3]


def _matches(item: Mapping[str, Any], key: str, operator: str, value: str) -> bool:
    found = {
        "id": item["ID"],
        "type": item["Type"],
        "description": item["Description"],
        "inuse": str(item["InUse"]).lower(),
        "shared": str(item["Shared"]).lower(),
        "private": str(not item["Shared"]).lower(),
        "mutable": "false",
    }[key]
    if operator == "==":
        return bool(found == value)
    try:
        return re.search(value, found) is not None
    except re.error as e:
        raise BadRequest(f"invalid filter {key}~={value}: {e}") from e


def _record(item: Mapping[str, Any]) -> pb.UsageRecord:
    return pb.UsageRecord(
        ID=item["ID"],
        InUse=item["InUse"],
        Size=item["Size"],
        CreatedAt=_time(item["CreatedAt"]),
        LastUsedAt=_time(item["LastUsedAt"]),
        UsageCount=item["UsageCount"],
        Description=item["Description"],
        RecordType=item["Type"],
        Shared=item["Shared"],
    )


def _time(text: str) -> Any:
    """A time of the cache's items: RFC 3339, to the nanosecond."""
    return timestamp(int(datetime.fromisoformat(text).timestamp() * 1e9))
