"""`cove push`: an image to its registry."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from desktop.cli.app import Failure
from desktop.cli.flags import Flag, Spec, parse
from desktop.cli.platforms import sent
from desktop.cli.progress import PullView
from desktop.client import reference
from desktop.client.api import Json

if TYPE_CHECKING:
    from desktop.cli.app import App

SPEC = Spec(
    name="push",
    usage="[OPTIONS] NAME[:TAG]",
    summary="Send an image to its registry",
    least=1,
    most=1,
    flags=(
        Flag("all-tags", "a", help="Every tag of the repository"),
        Flag("disable-content-trust", help="Accepted for docker's sake: nothing is signed here", default=True),
        Flag("platform", kind="string", help="Only this platform's image, instead of all (linux/arm64)"),
        Flag("quiet", "q", help="Print the image's name and nothing else"),
    ),
)


def main(argv: Sequence[str], app: App) -> int:
    flags = parse(SPEC, argv)
    wanted = reference.parse(flags.args[0])
    quiet = flags.on("quiet")
    all_tags = flags.on("all-tags")
    if all_tags and wanted.tag:
        raise Failure("tag can't be used with --all-tags/-a")
    if not all_tags and not wanted.tag and not quiet:
        print("Using default tag: latest", flush=True)
    view = PullView(sys.stdout)
    client = app.client()
    platform = sent(client, flags.text("platform"), (1, 46))
    notes = []
    with client.push(wanted, all_tags=all_tags, platform=platform) as lines:
        try:
            for line in lines:
                if not quiet and (line.status or line.id):
                    view(line)
                if line.aux is not None and line.aux.get("manifestPushedInsteadOfIndex"):
                    notes.append(_note(line.aux))
        finally:
            view.finish()
    if quiet:
        print(wanted.full_name)
    for note in notes:
        print(note, file=sys.stderr)
    return 0


def _note(aux: Json) -> str:
    """Docker's words for a push of one image in place of its index."""
    return (
        "Not all multiplatform-content is present and only the available single-platform image was pushed\n"
        f"{aux['originalIndex']['digest']} -> {aux['selectedManifest']['digest']}"
    )
