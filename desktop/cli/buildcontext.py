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

from desktop.cli.app import Failure
from desktop.cli.load import pieces_of
from desktop.client import tarpipe

_DOCKERFILE = "Dockerfile"
_REMOTE = ("http://", "https://", "git://", "ssh://", "git@", "github.com/")
_ARCHIVES = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd")


def is_remote(where: str) -> bool:
    """Whether the engine fetches the context: a URL or a git repository, and no folder of that name."""
    return where.startswith(_REMOTE) and not Path(where).exists()


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


def of_stdin(source: BinaryIO, given: str | None) -> tuple[str, bytes | None, Iterator[bytes]]:
    """(the Dockerfile's name, its text if stdin is one and no archive, the tar). Raises Failure.

    `given`: --file, a path in the archive.
    """
    if given == "-":
        raise Failure("invalid argument: can't use stdin for both build context and dockerfile")
    head = source.read(512)
    if head.startswith(_ARCHIVES) or head[257:262] == b"ustar":

        def rest() -> Iterator[bytes]:
            yield head
            yield from pieces_of(source)

        return given or _DOCKERFILE, None, rest()
    if given:
        raise Failure("ambiguous Dockerfile source: both stdin and flag correspond to Dockerfiles")
    text = head + source.read()
    return _DOCKERFILE, text, tarpipe.pieces(lambda tar: _add_text(tar, _DOCKERFILE, text))


def find_dockerfile(folder: Path, given: str | None) -> tuple[str, bytes, Mapping[str, bytes]]:
    """(its name in the context, its text, the files to be added to the context). Raises Failure.

    `given`: --file, relative to the current folder or to the context; "-" is stdin.
    """
    if given == "-":
        return _added(folder, sys.stdin.buffer.read(), None)
    path = Path(given) if given else folder / _DOCKERFILE
    if given and not path.exists() and (folder / given).exists():
        path = folder / given
    try:
        text = path.read_bytes()
    except OSError as e:
        raise Failure(
            f"unable to prepare context: unable to evaluate symlinks in Dockerfile path: {path}: {e.strerror}"
        ) from e
    try:
        return path.resolve().relative_to(folder.resolve()).as_posix(), text, {}
    except ValueError:
        return _added(folder, text, path.with_name(f"{path.name}.dockerignore"))


def for_check(folder: Path, name: str, text: bytes, added: Mapping[str, bytes]) -> Iterator[bytes]:
    """The tar with what a check of the Dockerfile reads: the file and its ignore files. Raises Failure."""
    files = {name: text, **added}
    for ignore in (f"{name}.dockerignore", ".dockerignore"):
        if ignore not in files and (folder / ignore).is_file():
            try:
                files[ignore] = (folder / ignore).read_bytes()
            except OSError as e:
                raise Failure(f"error checking context: {folder / ignore}: {e.strerror}") from e

    def write(tar: tarfile.TarFile) -> None:
        for each, content in files.items():
            _add_text(tar, each, content)

    return tarpipe.pieces(write)


def _added(folder: Path, text: bytes, own_ignore: Path | None) -> tuple[str, bytes, Mapping[str, bytes]]:
    """A Dockerfile that is not in the context gets a name that nothing there has, and an ignore file that excludes
    both: a COPY of the whole context must not find them, since their names differ in each build."""
    name = f".dockerfile.{secrets.token_hex(10)}"
    ignore = b""
    for path in (own_ignore, folder / ".dockerignore"):
        if path is not None and path.is_file():
            try:
                ignore = path.read_bytes()
            except OSError as e:
                raise Failure(f"error checking context: {path}: {e.strerror}") from e
            break
    return name, text, {name: text, f"{name}.dockerignore": ignore + f"\n{name}*\n".encode()}
