"""The tar of a build's context that is a folder of this machine. The engine applies the ignore file."""

from __future__ import annotations

import io
import os
import secrets
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from desktop.client import tarpipe

DOCKERFILE = "Dockerfile"
_MAIN = "main"  # the main context's folder in a tar of several


class ContextUnusable(Exception):
    """The Dockerfile or a file of the context can't be read; str() is one line in docker's words."""


def of_folder(folder: Path, extra: Mapping[str, bytes], named: Mapping[str, Path] | None = None) -> Iterator[bytes]:
    """The tar of a folder; `extra`: more files by name. With `named`, which are further contexts by the folder of the
    tar that they become, the first is its folder `main`. Raises ContextUnusable for what can't be read."""

    def write(tar: tarfile.TarFile) -> None:
        prefix = f"{_MAIN}/" if named else ""
        for name, content in extra.items():
            add_text(tar, prefix + name, content)
        _add_all(tar, folder, prefix)
        for name, other in (named or {}).items():
            _add_all(tar, other, f"{name}/")

    return tarpipe.pieces(write)


def _add_all(tar: tarfile.TarFile, folder: Path, prefix: str) -> None:
    if prefix:
        _add_checked(tar, Path(os.path.realpath(folder)), prefix.rstrip("/"))
    for path, name in _walk(folder, prefix):
        _add_checked(tar, path, name)


def _add_checked(tar: tarfile.TarFile, path: Path, name: str) -> None:
    try:
        _add(tar, path, name)
    except OSError as e:
        raise ContextUnusable(f"error checking context: {path}: {e.strerror or e}") from e


def named(contexts: Mapping[str, str]) -> tuple[dict[str, str], dict[str, Path]]:
    """Named contexts (folders, docker-image://NAME, addresses) as the engine's `contexts`, and the folders for
    `of_folder`. Raises ContextUnusable."""
    sources: dict[str, str] = {}
    folders: dict[str, Path] = {}
    for name, source in contexts.items():
        if source.startswith(("docker-image://", "http://", "https://", "git://", "ssh://", "git@", "github.com/")):
            sources[name] = source
            continue
        if "://" in source:
            raise ContextUnusable(f"unsupported context source {source.partition(':')[0]} for {name}")
        folder = Path(source)
        if not folder.is_dir():
            raise ContextUnusable(f"failed to get build context {name}: {source} is no folder")
        part = str(len(folders))
        folders[part] = Path(os.path.realpath(folder))
        sources[name] = f"upload:{part}"
    return sources, folders


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
        raise ContextUnusable(f"error checking context: {folder}: {e.strerror}") from e
    for name in names:
        path = folder / name
        yield path, prefix + name
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path, f"{prefix}{name}/")


def add_text(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """A file of this name and content."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o644
    tar.addfile(entry, io.BytesIO(content))


def find_dockerfile(folder: Path, given: str | None) -> tuple[str, bytes, Mapping[str, bytes]]:
    """(its name in the context, its text, the files to be added to the context). Raises ContextUnusable.

    `given`: --file, relative to the current folder or to the context.
    """
    path = Path(given) if given else folder / DOCKERFILE
    if given and not path.exists() and (folder / given).exists():
        path = folder / given
    try:
        text = path.read_bytes()
    except OSError as e:
        raise ContextUnusable(
            f"unable to prepare context: unable to evaluate symlinks in Dockerfile path: {path}: {e.strerror}"
        ) from e
    try:
        return path.resolve().relative_to(folder.resolve()).as_posix(), text, {}
    except ValueError:
        return added(folder, text, path.with_name(f"{path.name}.dockerignore"))


def for_check(folder: Path, name: str, text: bytes, added: Mapping[str, bytes]) -> Iterator[bytes]:
    """The tar with what a check of the Dockerfile reads: the file and its ignore files. Raises ContextUnusable."""
    files = {name: text, **added}
    for ignore in (f"{name}.dockerignore", ".dockerignore"):
        if ignore not in files and (folder / ignore).is_file():
            try:
                files[ignore] = (folder / ignore).read_bytes()
            except OSError as e:
                raise ContextUnusable(f"error checking context: {folder / ignore}: {e.strerror}") from e

    def write(tar: tarfile.TarFile) -> None:
        for each, content in files.items():
            add_text(tar, each, content)

    return tarpipe.pieces(write)


def added(folder: Path, text: bytes, own_ignore: Path | None = None) -> tuple[str, bytes, Mapping[str, bytes]]:
    """As `find_dockerfile`, for a text.

    A Dockerfile that is not in the context gets a name that nothing there has, and an ignore file that excludes both: a
    COPY of the whole context must not find them, since their names differ in each build."""
    name = f".dockerfile.{secrets.token_hex(10)}"
    ignore = b""
    for path in (own_ignore, folder / ".dockerignore"):
        if path is not None and path.is_file():
            try:
                ignore = path.read_bytes()
            except OSError as e:
                raise ContextUnusable(f"error checking context: {path}: {e.strerror}") from e
            break
    return name, text, {name: text, f"{name}.dockerignore": ignore + f"\n{name}*\n".encode()}
