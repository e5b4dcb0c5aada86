"""`cove import`: an image of one layer from a root file system's tar."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, BinaryIO

from desktop.cli.app import Failure
from desktop.cli.flags import Flag, Spec, parse
from desktop.cli.load import pieces_of
from desktop.client import reference

if TYPE_CHECKING:
    from desktop.cli.app import App

SPEC = Spec(
    name="import",
    usage="[OPTIONS] FILE|- [REPOSITORY[:TAG]]",
    summary="Make an image from a root file system's tar; prints its ID",
    least=1,
    most=2,
    flags=(
        Flag("change", "c", "list", "Apply a Dockerfile instruction (CMD, ENV, …) to the image", many=True),
        Flag("message", "m", "string", "The commit message of the image"),
        Flag("platform", kind="string", help="The image's platform"),
    ),
)


def main(argv: Sequence[str], app: App) -> int:
    flags = parse(SPEC, argv)
    path, *name = flags.args
    repository = tag = None
    if name:
        wanted = reference.parse(name[0])
        repository, tag = wanted.repository, wanted.version
    query = {
        "fromSrc": "-",
        "repo": repository,
        "tag": tag,
        "message": flags.text("message"),
        "changes": flags.many("change"),
        "platform": flags.text("platform"),
    }
    with ExitStack() as undo:
        try:
            source: BinaryIO = undo.enter_context(open(path, "rb")) if path != "-" else sys.stdin.buffer
        except OSError as e:
            raise Failure(f"open {path}: {e.strerror}") from e
        headers = {"Content-Type": "application/x-tar"}
        answers = undo.enter_context(
            app.client().stream("POST", "/images/create", query, data=pieces_of(source), headers=headers)
        )
        for answer in answers:
            if not answer.get("progressDetail") and answer.get("status"):
                print(answer["status"])
    return 0
