"""`cove save`: images as a tar that `load` reads, here or with docker."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from desktop.cli import streams
from desktop.cli.app import Failure
from desktop.cli.flags import Flag, Spec, parse
from desktop.cli.platforms import sent
from desktop.client.engine import ByteStream

if TYPE_CHECKING:
    from desktop.cli.app import App

SPEC = Spec(
    name="save",
    usage="[OPTIONS] IMAGE [IMAGE...]",
    summary="Write images to a tar, to a file or to stdout",
    least=1,
    flags=(
        Flag("output", "o", "string", "Write this file instead of stdout"),
        Flag("platform", kind="string", help="Only this platform's image (linux/arm64)"),
    ),
)


def main(argv: Sequence[str], app: App) -> int:
    flags = parse(SPEC, argv)
    path = flags.text("output")
    if path is None and sys.stdout.isatty():
        raise Failure("cowardly refusing to save to a terminal. Use the -o flag or redirect")
    if path is not None and not os.path.isdir(os.path.dirname(path) or "."):
        raise Failure(f'failed to save image: invalid output path: directory "{os.path.dirname(path)}" does not exist')
    client = app.client()
    query = {"names": flags.args, "platform": sent(client, flags.text("platform"), (1, 48))}
    with ByteStream(client.call("GET", "/images/get", query=query)) as pieces:
        write_to(path, pieces)
    return 0


def write_to(path: str | None, pieces: ByteStream) -> None:
    """To stdout, or into a file: one beside it first, so that a save that breaks off leaves nothing under its name.

    Raises Failure, BrokenPipeError.
    """
    if path is None:
        for piece in pieces:
            streams.write_all(1, piece)
        return
    temporary = f"{path}.{os.getpid()}.part"
    try:
        with open(temporary, "wb") as file:
            for piece in pieces:
                file.write(piece)
        os.replace(temporary, path)
    except OSError as e:
        raise Failure(f"{path}: {e.strerror}") from e
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)
