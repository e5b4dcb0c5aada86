"""The tar that `cove build` sends: a folder, or what comes on stdin. The engine applies the ignore file."""

from __future__ import annotations

import io
import os
import secrets
import stat
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from desktop.cli.app import Failure
from desktop.cli.load import pieces_of

_PIECE = 256 * 1024
_ARCHIVES = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd")


class _Buffer(io.RawIOBase):
    """Collects what a tar writes until it is taken."""

    def __init__(self) -> None:
        self._held = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object, /) -> int:
        piece = bytes(data)  # type: ignore[call-overload]  # any buffer
        self._held += piece
        return len(piece)

    def take(self, least: int) -> bytes:
        if len(self._held) < least:
            return b""
        taken = bytes(self._held)
        self._held.clear()
        return taken


def of_folder(folder: Path, dockerfile: tuple[str, bytes] | None) -> Iterator[bytes]:
    """The tar of a folder; `dockerfile` is one more file (name, content). Raises Failure for what can't be read."""
    buffer = _Buffer()
    with tarfile.open(fileobj=buffer, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        if dockerfile is not None:
            _add_text(tar, *dockerfile)
        for path, name in _walk(folder, ""):
            try:
                entry = tar.gettarinfo(str(path), name)
                if entry is None:
                    continue  # a socket
                entry.uid = entry.gid = 0
                entry.uname = entry.gname = ""
                if os.name == "nt":
                    entry.mode |= 0o111  # Windows has no such bit: docker's client sets it for all files too
                if entry.isreg():
                    with path.open("rb") as file:
                        tar.addfile(entry, file)
                else:
                    tar.addfile(entry)
            except OSError as e:
                raise Failure(f"error checking context: {path}: {e.strerror}") from e
            if piece := buffer.take(_PIECE):
                yield piece
    yield buffer.take(0)


def _walk(folder: Path, prefix: str) -> Iterator[tuple[Path, str]]:
    try:
        names = sorted(os.listdir(folder))
    except OSError as e:
        raise Failure(f"error checking context: {folder}: {e.strerror}") from e
    for name in names:
        path = folder / name
        yield path, prefix + name
        if stat.S_ISDIR(path.lstat().st_mode):
            yield from _walk(path, f"{prefix}{name}/")


def _add_text(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o644
    tar.addfile(entry, io.BytesIO(content))


def of_stdin(source: BinaryIO, name: str) -> tuple[Iterator[bytes], bytes | None]:
    """(the tar, the Dockerfile's text if stdin is one and no archive). `name`: of the Dockerfile in the tar."""
    head = source.read(512)
    if head.startswith(_ARCHIVES) or head[257:262] == b"ustar":

        def rest() -> Iterator[bytes]:
            yield head
            yield from pieces_of(source)

        return rest(), None
    text = head + source.read()
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        _add_text(tar, name, text)
    return iter([made.getvalue()]), text


def find_dockerfile(folder: Path, given: str | None) -> tuple[str, bytes, bool]:
    """(its name in the context, its text, whether it has to be added to the context). Raises Failure.

    `given`: --file, relative to the current folder or to the context; "-" is stdin.
    """
    if given == "-":
        return f".dockerfile.{secrets.token_hex(10)}", sys.stdin.buffer.read(), True
    path = Path(given) if given else folder / "Dockerfile"
    if given and not path.exists() and (folder / given).exists():
        path = folder / given
    try:
        text = path.read_bytes()
    except OSError as e:
        raise Failure(
            f"unable to prepare context: unable to evaluate symlinks in Dockerfile path: {path}: {e.strerror}"
        ) from e
    try:
        return path.resolve().relative_to(folder.resolve()).as_posix(), text, False
    except ValueError:
        return f".dockerfile.{secrets.token_hex(10)}", text, True
