"""The tar that `cove build` sends: a folder, or what comes on stdin. The engine applies the ignore file."""

from __future__ import annotations

import io
import os
import secrets
import stat
import sys
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from desktop.cli import tarpipe
from desktop.cli.app import Failure
from desktop.cli.load import pieces_of

_ARCHIVES = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd")


def of_folder(folder: Path, extra: Mapping[str, bytes]) -> Iterator[bytes]:
    """The tar of a folder; `extra`: more files by name. Raises Failure for what can't be read."""

    def write(tar: tarfile.TarFile) -> None:
        for name, content in extra.items():
            _add_text(tar, name, content)
        for path, name in _walk(folder, ""):
            try:
                _add(tar, path, name)
            except OSError as e:
                raise Failure(f"error checking context: {path}: {e.strerror or e}") from e

    return tarpipe.pieces(write)


def _add(tar: tarfile.TarFile, path: Path, name: str) -> None:
    entry = tar.gettarinfo(str(path), name)
    if entry is None:
        return  # a socket
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    if os.name == "nt":
        entry.mode |= 0o111  # Windows has no such bit: docker's client sets it for all files too
    if entry.isreg():
        with path.open("rb") as file:
            tar.addfile(entry, file)
    else:
        tar.addfile(entry)


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
