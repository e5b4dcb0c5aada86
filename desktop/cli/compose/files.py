"""`cove compose` cp, commit and export: the files of a service's container."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from desktop.cli.app import Failure
from desktop.cli.compose.selection import INDEX, chosen, one_container
from desktop.cli.flags import Flag, Parsed, Spec, parse

if TYPE_CHECKING:
    from desktop.cli.compose.main import Call
    from desktop.cli.compose.progress import Progress
    from desktop.cli.cp import Place
    from desktop.compose.state import Container

CP = Spec(
    name="compose cp",
    usage="[OPTIONS] SERVICE:SRC_PATH DEST_PATH|-\n        cove compose cp [OPTIONS] SRC_PATH|- SERVICE:DEST_PATH",
    summary="Copy files and folders between a service's containers and here; into all of them, or out of the first",
    least=2,
    most=2,
    flags=(
        Flag("archive", "a", help="Keep numeric owners"),
        Flag("follow-link", "L", help="Follow a link at the end of the source"),
        INDEX,
    ),
)
COMMIT = Spec(
    name="compose commit",
    usage="[OPTIONS] SERVICE [REPOSITORY[:TAG]]",
    summary="Make an image from what a service's container has changed; prints its ID",
    least=1,
    most=2,
    flags=(
        Flag("author", "a", "string", "Who made it"),
        Flag("change", "c", "list", "Apply a Dockerfile instruction (CMD, ENV, …) to the image", many=True),
        INDEX,
        Flag("message", "m", "string", "The commit message"),
        Flag("pause", "p", default=True, help="Freeze the container meanwhile"),
    ),
)
EXPORT = Spec(
    name="compose export",
    usage="[OPTIONS] SERVICE",
    summary="Write the file system of a service's container as a tar, to a file or to stdout",
    least=1,
    most=1,
    flags=(INDEX, Flag("output", "o", "string", "Write this file instead of stdout")),
)


def cp(argv: Sequence[str], call: Call) -> int:
    from desktop.cli.cp import Place
    from desktop.compose import order

    flags = parse(CP, argv)
    source, target = (Place.parse(text) for text in flags.args)
    service = source.container or target.container
    if service is None:
        raise Failure("unknown copy direction")
    if source.container is not None and target.container is not None:
        raise Failure("copying between services is not supported")
    found = chosen(call, [service], number=flags.number("index"))
    if not found.containers:
        raise Failure(f'no container found for service "{service}"')
    containers = found.containers[:1] if source.container is not None else found.containers
    with call.progress(quiet="-" in (source.path, target.path)) as progress:
        order.together(containers, lambda one: _copy(call, one, source, target, flags, progress))
    return 0


def _copy(call: Call, one: Container, source: Place, target: Place, flags: Parsed, progress: Progress) -> None:
    from desktop.cli.cp import Place, copy

    sides = [Place(one.id if side.container is not None else None, side.path) for side in (source, target)]
    told = [side.path if side.container is None else f"{one.name}:{side.path}" for side in (source, target)]
    what = f"copy {told[0]} to {told[1]}"
    progress(one.name, "Copying", what)
    if not call.is_dry:
        copy(call.client(), *sides, follow=flags.on("follow-link"), archive=flags.on("archive"))
    progress(one.name, "Copied", what)


def commit(argv: Sequence[str], call: Call) -> int:
    from desktop.cli import commit as commit_command

    flags = parse(COMMIT, argv)
    call.refuse_dry_run("commit")
    service, *name = flags.args
    one = one_container(call, service, flags.number("index"), stopped=True)
    words = [f"--{key}={text}" for key in ("author", "message") if (text := flags.text(key)) is not None]
    words += [f"--change={text}" for text in flags.many("change")]
    words += [] if flags.on("pause") else ["--pause=false"]
    return commit_command.main([*words, one.id, *name], call.app)


def export(argv: Sequence[str], call: Call) -> int:
    from desktop.cli import export as export_command

    flags = parse(EXPORT, argv)
    call.refuse_dry_run("export")
    one = one_container(call, flags.args[0], flags.number("index"), stopped=True)
    words = [f"--output={path}"] if (path := flags.text("output")) is not None else []
    return export_command.main([*words, one.id], call.app)
