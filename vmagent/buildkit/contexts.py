"""A build's files: folders of the client that the engine reads over its session (`builder.request.Context`).

A client names its folder by the session's shared key. What was received of it is kept under the data root, so that the
next build of that folder gets only what has changed.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import stat
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vmagent.builder.cache import CONTEXT, Cache, CacheRecord, key_of
from vmagent.builder.request import Received, Selection
from vmagent.buildkit.filesync import OnDisk, fetch
from vmagent.buildkit.sessions import Session
from vmagent.errors import EngineError
from vmagent.linux.mounts import RESOLVE_IN_ROOT, openat2
from vmagent.linux.trees import remove_tree

KEPT = 16  # folders; the least recently used ones are removed
_ONCE = "once-"


class KeptFolders:
    """What clients have sent, by key, each with a record in the build cache. One build at a time uses a folder.

    Used on the event loop.
    """

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._contents: dict[str, str] = {}  # a name of what each holds, by the folder's; none while it may change

    def take(self, key: str) -> Path:
        """The folder of `key`, for the caller alone until `give_back`.

        Another, empty one while it is in use or about to be removed, and for "".
        """
        name = key_of("context", key)
        if not key or self._cache.is_used(name) or self._cache.is_leaving(name):
            return self._cache.context_folder(f"{_ONCE}{secrets.token_hex(8)}")
        self._cache.use(name)
        return self._cache.context_folder(name)

    def begin(self, folder: Path) -> str:
        """A transfer into the folder begins; the name of what it held, for `ended`."""
        return self._contents.pop(folder.name, "")

    def ended(self, folder: Path, before: str, *, is_changed: bool) -> str:
        """The transfer has ended well: a name of what the folder holds, by which it is known again while it holds that.

        "" for a folder that no other build will see.
        """
        if folder.name.startswith(_ONCE):
            return ""
        name = before if before and not is_changed else secrets.token_hex(16)
        self._contents[folder.name] = name
        return name

    async def give_back(self, folders: Mapping[Path, int]) -> None:
        """Keep a record of the folders and of the bytes in them; remove those that no later build can use, and the
        least recently used ones beyond `KEPT`. Raises OSError."""
        for folder, size in folders.items():
            if folder.name.startswith(_ONCE):
                await asyncio.to_thread(remove_tree, str(folder))
                continue
            if await asyncio.to_thread(folder.is_dir):
                self._cache.put(self._record(folder.name, size))
            self._cache.release([folder.name])
        idle = [record.key for record in self._cache.contexts() if not self._cache.is_used(record.key)]
        for surplus in idle[KEPT:]:
            self._cache.drop(surplus)
            self._contents.pop(surplus, None)
        await self._cache.settle()

    def _record(self, name: str, size: int) -> CacheRecord:
        now = time.time_ns()
        old = self._cache.peek(name)
        return CacheRecord(
            key=name,
            kind=CONTEXT,
            layer="",
            size=size,
            description="local source for a context",
            created_ns=now if old is None else old.created_ns,
            used_ns=now,
            uses=1 if old is None else old.uses + 1,
        )


@dataclass(frozen=True, slots=True)
class _Fetching:
    """A transfer: into which folder, with the name of what that then holds; and whether that is news."""

    done: asyncio.Task[tuple[Path, str]]
    changed: asyncio.Event


class SessionFolder:
    """A folder of the client, by the name under which its session serves it."""

    def __init__(self, session: Session, name: str, kept: KeptFolders, on_disk: OnDisk) -> None:
        self._session, self._name, self._kept, self._on_disk = session, name, kept, on_disk
        self._taken: dict[Path, int] = {}  # with the bytes in each
        self._read: dict[str, bytes | None] = {}
        self._fetching: dict[Selection, _Fetching] = {}

    async def read(self, path: str, limit_bytes: int) -> bytes | None:
        """The content of one file; None if there is none. Raises EngineError, also for a file over the limit."""
        return (await self.read_some([path], limit_bytes))[path]

    async def read_some(self, paths: Sequence[str], limit_bytes: int) -> dict[str, bytes | None]:
        """The contents of some files in one transfer."""
        missing = [path for path in paths if path not in self._read]
        if missing:
            folder = self._kept.take("")
            try:
                selection = Selection(include=tuple(missing), follow=tuple(missing))
                await fetch(self._session, self._name, folder, selection, lambda _: None, self._on_disk)
                for path in missing:
                    self._read[path] = await self._on_disk(_read, folder, path, limit_bytes)
            finally:
                await self._kept.give_back({folder: 0})
        return {path: self._read[path] for path in paths}

    async def digest(self, selection: Selection, received: Received) -> str:
        """See Context. The name of what a kept folder holds; unknown while files arrive that no older build had."""
        fetching = self._fetch(selection, received)
        changed = asyncio.create_task(fetching.changed.wait(), name="wait for a change")
        try:
            await asyncio.wait((fetching.done, changed), return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()
        return fetching.done.result()[1] if fetching.done.done() else ""

    async def fetch(self, selection: Selection, received: Received) -> Path:
        """The selected files, in a folder that is kept. Raises EngineError."""
        return (await asyncio.shield(self._fetch(selection, received).done))[0]

    def _fetch(self, selection: Selection, received: Received) -> _Fetching:
        if selection not in self._fetching:
            changed = asyncio.Event()
            work = self._transfer(selection, received, changed)
            done = asyncio.create_task(work, name=f"fetch {self._name}")
            self._fetching[selection] = _Fetching(done, changed)
        return self._fetching[selection]

    async def _transfer(self, selection: Selection, received: Received, changed: asyncio.Event) -> tuple[Path, str]:
        key = f"{self._session.shared_key}\0{self._name}" if self._session.shared_key else ""
        folder = self._kept.take(key)
        self._taken[folder] = 0
        before = self._kept.begin(folder)
        done = await fetch(self._session, self._name, folder, selection, received, self._on_disk, changed.set)
        self._taken[folder] = done.size
        return folder, self._kept.ended(folder, before, is_changed=done.is_changed)

    async def close(self) -> None:
        """The build has ended: others may use the folders."""
        fetching, self._fetching = [one.done for one in self._fetching.values()], {}
        for task in fetching:
            task.cancel()
        await asyncio.gather(*fetching, return_exceptions=True)
        taken, self._taken = self._taken, {}
        if taken:
            await self._kept.give_back(taken)


def _read(folder: Path, path: str, limit_bytes: int) -> bytes | None:
    """Blocks. Links are followed, but never lead out of `folder` (openat2(2), RESOLVE_IN_ROOT)."""
    try:
        folder_fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fd = openat2(folder_fd, path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC, RESOLVE_IN_ROOT)
    except (FileNotFoundError, NotADirectoryError):
        return None
    finally:
        os.close(folder_fd)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        return None
    with open(fd, "rb") as file:
        data = file.read(limit_bytes + 1)
    if len(data) > limit_bytes:
        raise EngineError(f"{path} is larger than {limit_bytes} bytes")
    return data
