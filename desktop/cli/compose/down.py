"""`cove compose down`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from desktop.cli.app import Failure
from desktop.cli.flags import Flag, Spec, parse

if TYPE_CHECKING:
    from desktop.cli.compose.main import Call

DOWN = Spec(
    name="compose down",
    usage="[OPTIONS] [SERVICE...]",
    summary="Stop and remove a project's containers and networks",
    flags=(
        Flag("remove-orphans", help="Also containers of services that are not in the files"),
        Flag("rmi", kind="string", help="Also images: local (those without a name in the files) or all"),
        Flag("timeout", "t", "int", "Seconds until a container that is stopped is killed"),
        Flag("volumes", "v", help="Also the project's volumes, and anonymous ones"),
    ),
)


def down(argv: Sequence[str], call: Call) -> int:
    from desktop.compose import resources, stopping
    from desktop.compose.state import observe

    flags = parse(DOWN, argv)
    if flags.text("rmi") not in (None, "local", "all"):
        raise Failure(f'invalid value for --rmi: "{flags.text("rmi")}"; one of local, all')
    name, project = call.name_and_project()
    client = call.client()
    services = project.every if project is not None else {}
    containers = [one for one in observe(client, name) if not one.is_oneoff or flags.on("remove-orphans")]
    if flags.args:
        containers = [one for one in containers if one.service in flags.args]
    elif services and not flags.on("remove-orphans"):
        orphans = [one for one in containers if one.service not in services]
        containers = [one for one in containers if one.service in services]
        if orphans:
            names = " ".join(one.name for one in orphans)
            print(
                f"WARNING: Found orphan containers ([{names}]) for this project; --remove-orphans removes them",
                file=sys.stderr,
            )
    with call.progress() as progress:
        stopping.stop_and_remove(
            client, containers, services, flags.number("timeout"), progress, volumes=flags.on("volumes")
        )
        if flags.args:
            return 0
        resources.remove_networks(client, name, progress)
        if flags.on("volumes"):
            resources.remove_volumes(client, name, progress)
        if (which := flags.text("rmi")) and project is not None:
            images = {project.image_of(item) for item in services.values() if which == "all" or not item.image}
            resources.remove_images(client, images, progress)
    return 0
