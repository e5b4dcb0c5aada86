"""`cove push`: an image to its registry."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from desktop.cli.app import Failure
from desktop.cli.flags import Flag, Spec, parse
from desktop.cli.progress import PullView
from desktop.client import logins, reference
from desktop.client.api import path_part
from desktop.client.engine import EngineClient, PullStream

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
    with push_stream(app.client(), wanted, all_tags=all_tags) as lines:
        try:
            for line in lines:
                if not quiet and (line.status or line.id):
                    view(line)
        finally:
            view.finish()
    if quiet:
        print(wanted.full_name)
    return 0


def push_stream(client: EngineClient, wanted: reference.Reference, *, all_tags: bool = False) -> PullStream:
    """Push an image, or all of its repository, with the user's login; the engine's progress. Raises ApiError."""
    auth = logins.header_for(wanted.repository) or logins.encoded({})  # the header is required
    response = client.call(
        "POST",
        f"/images/{path_part(wanted.repository)}/push",
        query={"tag": None if all_tags else wanted.version},
        headers={"X-Registry-Auth": auth},
    )
    return PullStream(response)
