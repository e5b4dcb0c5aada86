"""`cove compose watch`, which `up --watch` does beside the output: changed files go into the containers."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from desktop.cli.flags import Flag, Spec, parse
from desktop.compose.images import EngineImages

if TYPE_CHECKING:
    from desktop.cli.compose.main import Call
    from desktop.compose.model.service import Service
    from desktop.compose.project import Project
    from desktop.compose.watching import Watcher

SPEC = Spec(
    name="compose watch",
    usage="[OPTIONS] [SERVICE...]",
    summary="Bring changed files into containers, as the services' develop.watch says",
    flags=(
        Flag("no-up", help="Do not build and start the services first"),
        Flag("quiet", help="Without the output of builds"),
    ),
    statuses=(("1", "it failed"), ("130", "ended by Ctrl-C")),
)


def watch(argv: Sequence[str], call: Call) -> int:
    from desktop.compose.converge import Up, UpOptions

    flags = parse(SPEC, argv)
    call.refuse_dry_run("watch")
    project = call.project(flags.args)
    say_build = None if flags.on("quiet") else _line_on_stderr
    watcher = watcher_of(call, project, flags.args or list(project.services), print_note, say_build)
    try:
        if not flags.on("no-up"):
            with call.progress() as progress:
                images = EngineImages(call.client(), project, progress, say_build or _nothing)
                options = UpOptions(services=tuple(flags.args), build=True)
                Up(call.client(), project, options, images, progress, progress.warn).run()
        watcher.run(threading.Event())
    except KeyboardInterrupt:
        return 130
    return 0


def watcher_of(
    call: Call,
    project: Project,
    names: Sequence[str],
    say: Callable[[str], None],
    say_build: Callable[[str], None] | None,
) -> Watcher:
    """A watcher that rebuilds with the engine's builder. Raises ComposeError."""
    from desktop.compose.converge import Up, UpOptions
    from desktop.compose.state import Recreate
    from desktop.compose.watching import Watcher

    progress = call.progress()

    def rebuild(service: Service) -> None:
        images = EngineImages(call.client(), project, progress, say_build or _nothing)
        images.build(service, project.image_of(service))
        options = UpOptions(services=(service.name,), recreate_dependencies=Recreate.NEVER)
        Up(call.client(), project, options, images, progress, progress.warn).run([service.name])
        progress.close()

    return Watcher(call.client(), project, names, rebuild, progress, say, progress.warn)


def print_note(text: str) -> None:
    print(text, flush=True)


def _line_on_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _nothing(_: str) -> None:
    pass
