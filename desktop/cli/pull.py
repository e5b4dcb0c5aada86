"""`cove pull`: fetch an image from its registry."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from desktop.cli.app import Failure
from desktop.cli.flags import Flag, Spec, parse
from desktop.cli.progress import PullView
from desktop.client import reference

if TYPE_CHECKING:
    from desktop.cli.app import App

SPEC = Spec(
    name="pull",
    usage="[OPTIONS] NAME[:TAG|@DIGEST]",
    summary="Fetch an image from a registry",
    least=1,
    most=1,
    flags=(
        Flag("all-tags", "a", help="Every tag of the repository"),
        Flag("disable-content-trust", help="Accepted for docker's sake: nothing is signed here", default=True),
        Flag("platform", kind="string", help="Which platform's image (linux/arm64)"),
        Flag("quiet", "q", help="Print the image's name and nothing else"),
    ),
)


def main(argv: Sequence[str], app: App) -> int:
    flags = parse(SPEC, argv)
    try:
        wanted = reference.parse(flags.args[0])
    except reference.InvalidReference as e:
        raise Failure(str(e)) from e
    quiet = flags.on("quiet")
    all_tags = flags.on("all-tags")
    if all_tags and (wanted.tag or wanted.digest):
        raise Failure("tag can't be used with --all-tags/-a")
    if not all_tags and not wanted.tag and not wanted.digest and not quiet:
        print("Using default tag: latest", flush=True)
    view = PullView(sys.stdout)
    with app.client().pull(flags.args[0], platform=flags.text("platform"), all_tags=all_tags) as lines:
        try:
            for line in lines:
                if not quiet:
                    view(line)
        finally:
            with contextlib.suppress(BrokenPipeError):
                view.finish()
    print(wanted.full_name)
    return 0
