"""What `cove build` sends beside folders: a context that comes on stdin, or that the engine fetches."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from desktop.cli.app import Failure
from desktop.cli.load import pieces_of
from desktop.client import buildcontext, tarpipe
from desktop.client.buildcontext import DOCKERFILE

_REMOTE = ("http://", "https://", "git://", "ssh://", "git@", "github.com/")
_ARCHIVES = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd")


def is_remote(where: str) -> bool:
    """Whether the engine fetches the context: a URL or a git repository, and no folder of that name."""
    return where.startswith(_REMOTE) and not Path(where).exists()


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

        return given or DOCKERFILE, None, rest()
    if given:
        raise Failure("ambiguous Dockerfile source: both stdin and flag correspond to Dockerfiles")
    text = head + source.read()
    return DOCKERFILE, text, tarpipe.pieces(lambda tar: buildcontext.add_text(tar, DOCKERFILE, text))


def find_dockerfile(folder: Path, given: str | None) -> tuple[str, bytes, Mapping[str, bytes]]:
    """As that of `desktop.client.buildcontext`; "-" is stdin."""
    if given == "-":
        return buildcontext.added(folder, sys.stdin.buffer.read())
    return buildcontext.find_dockerfile(folder, given)
