"""`cove cp`: files and folders between a container and here, or a tar from stdin and to stdout."""

from __future__ import annotations

import os
import posixpath
import tarfile
from collections.abc import Iterator, Sequence
from copy import copy as copy_of
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, cast

from desktop.cli import streams
from desktop.cli.app import Failure
from desktop.cli.flags import Flag, Spec, parse
from desktop.cli.untar import unpack
from desktop.client import archives, tarpipe
from desktop.client.api import ByteStream, path_part
from desktop.client.engine import EngineClient

if TYPE_CHECKING:
    from desktop.cli.app import App

SPEC = Spec(
    name="cp",
    usage="[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n        cove cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
    summary="Copy files and folders between a container and here; - is a tar on stdin or stdout",
    least=2,
    most=2,
    flags=(
        Flag("archive", "a", help="Keep numeric owners"),
        Flag("follow-link", "L", help="Follow a link at the end of the source"),
        Flag("quiet", "q", help="Say nothing (nothing is said anyhow)"),
    ),
)
_PIECE = 64 * 1024


class Place(NamedTuple):
    """One side of the copy: a path in `container`, or on this computer (None)."""

    container: str | None
    path: str

    @classmethod
    def parse(cls, text: str) -> Place:
        container, colon, path = text.partition(":")
        is_here = text == "-" or not colon or text[0] in "./" or (os.name == "nt" and text[1:2] == ":")
        return cls(None, text) if is_here else cls(container, path)


def main(argv: Sequence[str], app: App) -> int:
    flags = parse(SPEC, argv)
    source, target = map(Place.parse, flags.args)
    if (source.container is None) == (target.container is None):
        raise Failure(
            "must specify at least one container source" if source.container is None
            else "copying between containers is not supported"
        )  # fmt: skip
    copy(app.client(), source, target, follow=flags.on("follow-link"), archive=flags.on("archive"))
    return 0


def copy(client: EngineClient, source: Place, target: Place, *, follow: bool, archive: bool) -> None:
    """Copy between a container and here; one side is in a container. Raises Failure, ApiError."""
    if source.container is not None:
        _copy_out(client, source.container, source.path, target.path, follow, archive)
    else:
        assert target.container is not None
        _copy_in(client, source.path, target.container, target.path, follow, archive)


# --- out of a container


def _copy_out(client: EngineClient, container: str, source: str, target: str, follow: bool, archive: bool) -> None:
    path = posixpath.join("/", source)
    path, stat = archives.find(client, archives.Filed.container(container), path, follow=follow)
    if stat is None:
        raise Failure(f"Error response from daemon: Could not find the file {path} in container {container}")
    query = {"path": path}
    with ByteStream(client.call("GET", f"/containers/{path_part(container)}/archive", query=query)) as pieces:
        if target == "-":
            for piece in pieces:
                streams.write_all(1, piece)
            return
        _extract(pieces, stat, source, Path(target), target, archive)


def _extract(pieces: ByteStream, stat: archives.Stat, source: str, target: Path, typed: str, archive: bool) -> None:
    """As `docker cp`: a destination that is an existing folder takes the source into it; any other destination becomes
    the copy's name."""
    contents_only = source.endswith("/.")
    if target.is_dir():
        folder, name = target, None
    elif target.exists() and stat.is_directory:
        raise Failure("cannot copy directory")
    elif typed.endswith("/") and not stat.is_directory:
        raise Failure(f'the destination directory "{typed}" must exist')
    else:
        folder, name = target.parent, target.name
        if not folder.is_dir():
            raise Failure(f'invalid output path: directory "{folder}" does not exist')

    def renamed(member: tarfile.TarInfo) -> tarfile.TarInfo:
        """Replace the first part of a member's name, the source's name; drop it if only the contents are copied."""
        _, _, rest = member.name.removeprefix("./").partition("/") if not contents_only else ("", "", member.name)
        if name is not None:
            whole = posixpath.join(name, rest) if rest else name
        elif contents_only:
            whole = posixpath.normpath(rest)
        else:
            whole = member.name
        member = copy_of(member)
        member.name = whole
        if not archive:
            member.uid, member.gid, member.uname, member.gname = own("getuid"), own("getgid"), "", ""
        return member

    try:
        with tarfile.open(fileobj=cast("IO[bytes]", archives.Reader(pieces)), mode="r|") as tar:
            unpack(tar, folder, renamed)
    except (OSError, tarfile.TarError) as e:
        raise Failure(f"cp: {e}") from e


def own(what: str) -> int:
    """Our user or group id; 0 on Windows, which has none."""
    return int(getattr(os, what, lambda: 0)())


# --- into a container


def _copy_in(client: EngineClient, source: str, container: str, target: str, follow: bool, archive: bool) -> None:
    path = posixpath.join("/", target)
    _, stat = archives.find(client, archives.Filed.container(container), path, follow=True)
    query: dict[str, Any] = {"noOverwriteDirNonDir": True, "copyUIDGID": archive or None}
    if source == "-":
        if stat is None or not stat.is_directory:
            raise Failure(f'destination "{container}:{target}" must be a directory')
        import sys

        pieces = iter(lambda: sys.stdin.buffer.read(_PIECE), b"")
        client.put_archive(container, path, pieces, query)
        return
    if not os.path.lexists(source):
        raise Failure(f"lstat {os.path.abspath(source)}: no such file or directory")
    is_directory = os.path.isdir(source) and (follow or not os.path.islink(source) or source.endswith("/"))
    if stat is not None and stat.is_directory:
        folder = path
        name = "." if source.endswith("/.") or source == "." else os.path.basename(os.path.abspath(source))
    else:
        if stat is not None and is_directory:
            raise Failure(f'cannot overwrite non-directory "{path}" with directory "{source}"')
        if stat is None and target.endswith("/") and not is_directory:
            raise Failure(f'the destination directory "{target}" must exist')
        folder, name = posixpath.split(path.rstrip("/"))
    client.put_archive(container, folder or "/", _tar_of(source, name, follow=follow, archive=archive), query)


def _tar_of(source: str, name: str, *, follow: bool, archive: bool) -> Iterator[bytes]:
    """The tar of `source` under `name` in pieces; a thread writes it. Raises Failure."""

    def owned(member: tarfile.TarInfo) -> tarfile.TarInfo:
        if not archive:
            member.uid = member.gid = 0
            member.uname = member.gname = ""
        return member

    def write(tar: tarfile.TarFile) -> None:
        path = os.path.realpath(source) if follow or source.endswith("/") else source
        tar.add(path, arcname=name, filter=owned)

    try:
        yield from tarpipe.pieces(write)
    except (OSError, tarfile.TarError) as e:
        raise Failure(f"cp: {e}") from e
