"""What is in a folder of a container, and its files: read, fetched and put, in a worker's thread."""

from __future__ import annotations

import posixpath
import stat
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, cast

from desktop.client import tarpipe
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


def read_folder(client: EngineClient, container_id: str, path: str, marks: Mapping[str, int]) -> Folder:
    """Raises ApiError, 404 if it is no folder of the container."""
    told = client.files(container_id, path, MOST)
    entries = [_entry(path, each) for each in told["entries"]]
    words = {CHANGED: tr("changed"), ADDED: tr("new")}
    marked = [replace(each, mark=words.get(marks[each.path], "")) if each.path in marks else each for each in entries]
    return Folder(path, int(told["total"]), marked)


def read_marks(client: EngineClient, container_id: str) -> dict[str, int]:
    """What was changed (0) or added (1) since the image, by path. Raises the client's errors."""
    return {str(each["Path"]): int(each["Kind"]) for each in client.changes(container_id)}


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
    )


def _where(entry: Entry) -> str:
    """The path whose archive has the entry's content: of a link, what it leads to."""
    return posixpath.join(entry.folder, entry.target) if entry.kind == "link" else entry.path


class _Reader:
    """Pieces as a file to read from."""

    def __init__(self, pieces: Any) -> None:
        self._pieces, self._buffer = iter(pieces), b""

    def read(self, size: int) -> bytes:
        while len(self._buffer) < size and (piece := next(self._pieces, b"")):
            self._buffer += piece
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data


def _member(tar: tarfile.TarFile) -> IO[bytes]:
    """The content of the tar's first file. Raises ValueError if it has none."""
    for member in tar:
        if (content := tar.extractfile(member)) is not None:
            return content
    raise ValueError(tr("It is no file."))


def preview(client: EngineClient, container_id: str, entry: Entry) -> Preview:
    """The beginning of a file; no more of it is read. Raises the client's errors, ValueError."""
    with client.get_archive(container_id, _where(entry)) as pieces:
        reader = cast("IO[bytes]", _Reader(pieces))
        with tarfile.open(fileobj=reader, mode="r|", bufsize=tarfile.BLOCKSIZE) as tar:
            data = _member(tar).read(PREVIEW_BYTES + 1)
    is_cut = len(data) > PREVIEW_BYTES
    data = data[:PREVIEW_BYTES]
    if b"\0" in data:
        return Preview(None, is_cut)
    try:
        return Preview(data.decode("utf-8", errors="strict" if not is_cut else "replace"), is_cut)
    except UnicodeDecodeError:
        return Preview(None, is_cut)


def fetch(transfer: Transfer, client: EngineClient, container_id: str, entry: Entry, path: Path) -> None:
    """Write the entry to `path`: a file as it is, a folder as a tar. Raises the client's errors, OSError."""
    if entry.kind == "folder":
        save_stream(transfer, client.get_archive(container_id, entry.path), path)
        return
    with client.get_archive(container_id, _where(entry)) as stream:
        reader = cast("IO[bytes]", _Reader(stream))
        try:
            with tarfile.open(fileobj=reader, mode="r|") as tar:
                content = _member(tar)
                pieces = iter(lambda: content.read(1 << 18), b"")
                write_file(path, lambda file: [file.write(piece) for piece in transfer.counted(pieces)])
        except tarfile.TarError as e:
            raise OSError(str(e)) from e


def put(transfer: Transfer, client: EngineClient, container_id: str, folder: str, sources: Sequence[Path]) -> None:
    """Copy files and folders of this computer into a folder of the container, as root's. Raises the client's errors,
    OSError."""

    def owned(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        return member

    def write(tar: tarfile.TarFile) -> None:
        for source in sources:
            tar.add(source, arcname=source.name, filter=owned)

    try:
        pieces = transfer.counted(tarpipe.pieces(write))
        client.put_archive(container_id, folder, pieces, {"noOverwriteDirNonDir": True})
    except tarfile.TarError as e:
        raise OSError(str(e)) from e


def size_of(sources: Sequence[Path]) -> int:
    """Bytes of these files and folders, for the progress."""
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
            cell=lambda e: Cell(text=ago(e.modified_s)),
            order=lambda e: e.modified_s,
            width=110,
            right=True,
            descends=True,
        ),
    )
