"""A build's files: folders of the client that the engine reads over its session (`builder.request.Context`).

A client names its folder by the session's shared key. What was received of it is kept under the data root, so that the
next build of that folder gets only what has changed.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import stat
import threading
from collections.abc import Sequence
from pathlib import Path

from vmagent.builder.request import Received, Selection
from vmagent.buildkit.filesync import OnDisk, fetch
from vmagent.buildkit.sessions import Session
from vmagent.durable import publish
from vmagent.errors import EngineError
from vmagent.linux.mounts import RESOLVE_IN_ROOT, openat2

KEPT = 16  # folders; the least recently used ones are removed
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class KeptFolders:
    """What clients have sent, by key. A folder is used by one build at a time."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._in_use: set[Path] = set()
        self._lock = threading.Lock()  # of `_in_use`: the loop takes folders while disk threads remove others

    def open(self) -> None:
        """Blocks. Folders of an earlier boot are removed: a crash of the machine may have lost contents of files."""
        marker = self.root / "boot-id"
        boot_id = BOOT_ID.read_bytes()
        try:
            is_current = marker.read_bytes() == boot_id
        except OSError:
            is_current = False
        if not is_current:
            shutil.rmtree(self.root, ignore_errors=True)
            self.root.mkdir(mode=0o700, parents=True)
            publish(marker, boot_id)
        for entry in self.root.iterdir():
            if entry.name.startswith("once-"):
                shutil.rmtree(entry)

    def take(self, key: str) -> Path:
        """The folder of `key`, for the caller alone until `give_back`; another, empty one while it is in use."""
        folder = self.root / hashlib.sha256(key.encode()).hexdigest()
        if not key or not self._claim(folder):
            folder = self.root / f"once-{secrets.token_hex(8)}"
            self._claim(folder)
        return folder

    def prune(self) -> None:
        """Blocks. Remove all folders that no build uses."""
        for entry in self.root.iterdir():
            if entry.is_dir():
                self._remove_idle(entry)

    def give_back(self, folders: Sequence[Path]) -> None:
        """Blocks. Remove those that no later build can use, and the least recently used beyond `KEPT`."""
        for folder in folders:
            if folder.name.startswith("once-"):
                shutil.rmtree(folder, ignore_errors=True)
            elif folder.is_dir():
                os.utime(folder)
        with self._lock:
            self._in_use.difference_update(folders)
            in_use = set(self._in_use)
        idle = [entry for entry in self.root.iterdir() if entry.is_dir() and entry not in in_use]
        for surplus in sorted(idle, key=_used_ns, reverse=True)[KEPT:]:
            self._remove_idle(surplus)

    def _claim(self, folder: Path) -> bool:
        """Whether it was idle; now it is in use."""
        with self._lock:
            if folder in self._in_use:
                return False
            self._in_use.add(folder)
            return True

    def _remove_idle(self, folder: Path) -> None:
        """In use meanwhile, so that no build takes a folder that is half removed."""
        if self._claim(folder):
            shutil.rmtree(folder, ignore_errors=True)
            with self._lock:
                self._in_use.discard(folder)


class SessionFolder:
    """A folder of the client, by the name under which its session serves it."""

    def __init__(self, session: Session, name: str, kept: KeptFolders, on_disk: OnDisk) -> None:
        self._session, self._name, self._kept, self._on_disk = session, name, kept, on_disk
        self._taken: list[Path] = []
        self._read: dict[str, bytes | None] = {}

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
                await self._on_disk(self._kept.give_back, [folder])
        return {path: self._read[path] for path in paths}

    async def fetch(self, into: Path, selection: Selection, received: Received) -> Path:
        """The selected files, in a folder that is kept (`into` is not used). Raises EngineError."""
        key = f"{self._session.shared_key}\0{self._name}" if self._session.shared_key else ""
        folder = self._kept.take(key)
        self._taken.append(folder)
        await fetch(self._session, self._name, folder, selection, received, self._on_disk)
        return folder

    async def close(self) -> None:
        """The build has ended: others may use the folders."""
        taken, self._taken = self._taken, []
        if taken:
            await self._on_disk(self._kept.give_back, taken)


def _used_ns(folder: Path) -> int:
    """When it was last used; 0 if it was removed meanwhile."""
    try:
        return folder.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


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
