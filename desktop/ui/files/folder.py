"""What is in a folder of a container or a volume, and its files: read, fetched and put, in a worker's thread."""

from __future__ import annotations

import posixpath
import stat
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, cast

from desktop.client import archives, tarpipe
from desktop.client.api import ByteStream
from desktop.client.engine import ApiError, EngineClient
from desktop.ui.kit.rows import Cell, Column
from desktop.ui.kit.transfers import Transfer, save_stream, write_file
from desktop.ui.kit.words import ago, disk, from_rfc3339, tr

MOST = 5_000  # entries of one folder
PREVIEW_BYTES = 256 * 1024
CHANGED, ADDED = 0, 1
ICONS = {"folder": "folder-simple", "file": "file", "link": "arrow-square-out"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry of a folder. `mark`: it was added or changed since the image, as a word."""

    folder: str
    name: str
    kind: str
    size: int = 0
    mode: int = 0
    uid: int = 0
    gid: int = 0
    modified_s: float = 0.0
    target: str = ""
    target_kind: str = ""
    error: str = ""  # why nothing but the name is known
    mark: str = ""

    @property
    def path(self) -> str:
        return posixpath.join(self.folder, self.name)

    @property
    def is_folder(self) -> bool:
        return "folder" in (self.kind, self.target_kind)

    @property
    def is_file(self) -> bool:
        return "file" in (self.kind, self.target_kind)

    @property
    def rights(self) -> str:
        """As `ls -l` shows them, with the owner's numbers."""
        kinds = {"folder": stat.S_IFDIR, "link": stat.S_IFLNK, "pipe": stat.S_IFIFO, "socket": stat.S_IFSOCK}
        return stat.filemode(kinds.get(self.kind, stat.S_IFREG) | self.mode)


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder's entries, at most `MOST` of its `total`."""

    path: str
    total: int
    entries: Sequence[Entry]


@dataclass(frozen=True, slots=True)
class Preview:
    """The beginning of a file: text, or None if it is none; `is_cut`: the file is longer."""

    text: str | None
    is_cut: bool


@dataclass(frozen=True, slots=True)
class Source:
    """Whose files are shown. `name`: of the container or volume; `has_marks`: what was changed since its image can be
    told."""

    filed: archives.Filed
    name: str
    has_marks: bool = False

    @classmethod
    def container(cls, container_id: str, name: str) -> Source:
        return cls(archives.Filed.container(container_id), name, has_marks=True)

    @classmethod
    def volume(cls, name: str) -> Source:
        return cls(archives.Filed.volume(name), name)


def read_folder(client: EngineClient, source: Source, path: str, marks: Mapping[str, int]) -> Folder:
    """Raises ApiError, 404 if it is no folder of the source."""
    told = archives.listing(client, source.filed, path, MOST)
    entries = [_entry(path, each) for each in told["entries"]]
    words = {CHANGED: tr("changed"), ADDED: tr("new")}
    marked = [replace(each, mark=words.get(marks[each.path], "")) if each.path in marks else each for each in entries]
    return Folder(path, int(told["total"]), marked)


def read_marks(client: EngineClient, source: Source) -> dict[str, int]:
    """What was changed (0) or added (1) since the image, by path. Raises the client's errors."""
    if not source.has_marks:
        return {}
    path = source.filed.inspect.removesuffix("/json") + "/changes"
    return {str(each["Path"]): int(each["Kind"]) for each in client.json_list("GET", path)}


def _entry(folder: str, told: Mapping[str, Any]) -> Entry:
    return Entry(
        folder=folder,
        name=str(told["name"]),
        kind=str(told["type"]),
        size=int(told["size"]),
        mode=int(told["mode"]),
        uid=int(told["uid"]),
        gid=int(told["gid"]),
        modified_s=from_rfc3339(str(told["modified"])) or 0.0,
        target=str(told["target"]),
        target_kind=str(told["target_type"]),
        error=str(told["error"]),
    )


@contextmanager
def _content(client: EngineClient, source: Source, entry: Entry) -> Iterator[tuple[ByteStream, IO[bytes]]]:
    """(the stream of the archive, the content of the file in it); a link is followed to the file at its end. Raises the
    client's errors, OSError."""
    path, _ = archives.find(client, source.filed, entry.path, follow=entry.kind == "link")
    try:
        with (
            archives.get(client, source.filed, path) as stream,
            tarfile.open(fileobj=cast("IO[bytes]", archives.Reader(stream)), mode="r|") as tar,
        ):
            member = tar.next()
            content = tar.extractfile(member) if member is not None and member.isreg() else None
            if content is None:
                raise OSError(tr("It is no file any more."))
            yield stream, content
    except tarfile.TarError as e:
        raise OSError(str(e)) from e


def preview(client: EngineClient, source: Source, entry: Entry) -> Preview:
    """The beginning of a file; no more of it is read. Raises the client's errors, OSError."""
    with _content(client, source, entry) as (_, content):
        data = content.read(PREVIEW_BYTES + 1)
    is_cut = len(data) > PREVIEW_BYTES
    data = data[:PREVIEW_BYTES]
    if b"\0" in data:
        return Preview(None, is_cut)
    try:
        return Preview(data.decode("utf-8", errors="strict" if not is_cut else "replace"), is_cut)
    except UnicodeDecodeError:
        return Preview(None, is_cut)


def fetch(transfer: Transfer, client: EngineClient, source: Source, entry: Entry, path: Path) -> None:
    """Write the entry to `path`: a file as it is, a folder as a tar. Raises the client's errors, OSError."""
    if entry.kind == "folder":
        save_stream(transfer, archives.get(client, source.filed, entry.path), path)
        return
    with _content(client, source, entry) as (stream, content):
        transfer.closes(stream)
        pieces = iter(lambda: content.read(1 << 18), b"")
        write_file(path, lambda file: [file.write(piece) for piece in transfer.counted(pieces)])


def put(transfer: Transfer, client: EngineClient, source: Source, folder: str, sources: Sequence[Path]) -> None:
    """Copy files and folders of this computer into a folder, as root's. Raises the client's errors,
    OSError."""

    def owned(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        return member

    transfer.total_bytes = _size_of(sources)

    def write(tar: tarfile.TarFile) -> None:
        for each in sources:
            tar.add(each, arcname=each.name, filter=owned)

    try:
        pieces = transfer.counted(tarpipe.pieces(write))
        archives.put(client, source.filed, folder, pieces, keeps_kind=True)
    except tarfile.TarError as e:
        raise OSError(str(e)) from e


def _size_of(sources: Sequence[Path]) -> int:
    """Bytes of these files and folders, for the progress. Raises OSError."""
    found = [path for source in sources for path in ((source, *source.rglob("*")) if source.is_dir() else (source,))]
    return sum(path.stat().st_size for path in found if path.is_file() and not path.is_symlink())


def is_missing(error: Exception) -> bool:
    """Whether the engine has no such folder, or is not Cove's."""
    return isinstance(error, ApiError) and error.status == 404


def columns() -> tuple[Column[Entry], ...]:
    return (
        Column(
            title=tr("Name"),
            cell=lambda e: Cell(
                text=e.name,
                tail=f" → {e.target}" if e.target else "",
                chip=e.mark,
                icon=ICONS.get("folder" if e.is_folder else e.kind, "file"),
                role="name",
                tone="text",
            ),
            order=lambda e: (not e.is_folder, e.name.lower(), e.name),
            tip=lambda e: e.path,
            share=3,
        ),
        Column(
            title=tr("Size"),
            cell=lambda e: Cell(text=disk(e.size) if e.kind == "file" else ""),
            order=lambda e: e.size if e.kind == "file" else -1,
            width=84,
            right=True,
            descends=True,
        ),
        Column(
            title=tr("Modified"),
            cell=lambda e: Cell(text="" if e.error else ago(e.modified_s)),
            order=lambda e: e.modified_s,
            width=110,
            right=True,
            descends=True,
        ),
    )
