"""`cove load`: images from a tar that `save` wrote, here or with docker."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, BinaryIO

from desktop.cli.app import Failure
from desktop.cli.flags import Flag, Spec, parse
from desktop.cli.platforms import sent

if TYPE_CHECKING:
    from desktop.cli.app import App

SPEC = Spec(
    name="load",
    usage="[OPTIONS]",
    summary="Load images from a tar (plain or compressed), from a file or from stdin",
    most=0,
    flags=(
        Flag("input", "i", "string", "Read this file instead of stdin"),
        Flag("platform", kind="string", help="Only this platform's images (linux/arm64)"),
        Flag("quiet", "q", help="No progress"),
    ),
)
_PIECE = 256 * 1024


def main(argv: Sequence[str], app: App) -> int:
    flags = parse(SPEC, argv)
    path = flags.text("input")
    if path is None and sys.stdin.isatty():
        raise Failure("requested load from stdin, but stdin is empty")
    with ExitStack() as undo:
        try:
            source: BinaryIO = undo.enter_context(open(path, "rb")) if path else sys.stdin.buffer
        except OSError as e:
            raise Failure(f"open {path}: {e.strerror}") from e
        client = app.client()
        platform = sent(client, flags.text("platform"), (1, 48))
        answers = undo.enter_context(
            client.stream(
                "POST",
                "/images/load",
                {"quiet": flags.on("quiet") or not sys.stdout.isatty(), "platform": platform},
                data=pieces_of(source),
                headers={"Content-Type": "application/x-tar"},
            )
        )
        for answer in answers:
            sys.stdout.write(str(answer.get("stream") or ""))
            sys.stdout.flush()
    return 0


def pieces_of(source: BinaryIO) -> Iterator[bytes]:
    """The file in pieces, to its end."""
    while piece := source.read(_PIECE):
        yield piece
