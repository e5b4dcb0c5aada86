"""`cove logs`: print a container's output so far; with -f, also what follows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from desktop.cli import streams
from desktop.cli.app import Failure
from desktop.cli.flags import Flag, Spec, parse
from desktop.cli.timestamps import api_time

if TYPE_CHECKING:
    from desktop.cli.app import App

SPEC = Spec(
    name="logs",
    usage="[OPTIONS] CONTAINER",
    summary="Show what a container has written",
    least=1,
    most=1,
    flags=(
        Flag("details", help="With the attributes that log options add"),
        Flag("follow", "f", help="Go on with what it writes, until it ends"),
        Flag("since", kind="string", help="From this time on (2024-01-02T13:23:37Z) or back from now (42m)"),
        Flag("tail", "n", "string", "How many lines from the end", default="all"),
        Flag("timestamps", "t", help="With the time of each line"),
        Flag("until", kind="string", help="Up to this time, or back from now"),
    ),
)


def main(argv: Sequence[str], app: App) -> int:
    flags = parse(SPEC, argv)
    try:
        since, until = api_time(flags.text("since"), "since"), api_time(flags.text("until"), "until")
    except ValueError as e:
        raise Failure(str(e)) from e
    client, name = app.client(), flags.args[0]
    container = client.inspect(name)
    frames = client.logs(
        container["Id"],
        flags.on("follow"),
        flags.text("tail"),
        flags.on("timestamps"),
        since=since,
        until=until,
        details=flags.on("details"),
        tty=bool(container["Config"]["Tty"]),
    )
    with frames:
        for frame in frames:
            streams.write_frame(frame)
    return 0
