"""`cove compose config`: the project as it was read, in docker compose's canonical form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from desktop.cli.app import Failure
from desktop.cli.flags import Flag, Spec, parse

if TYPE_CHECKING:
    from desktop.cli.compose.main import Call

SPEC = Spec(
    name="compose config",
    usage="[OPTIONS] [SERVICE...]",
    summary="Print the project as it was read: files merged, variables replaced, short forms spelled out",
    flags=(
        Flag("format", kind="string", help="yaml or json", default="yaml"),
        Flag("hash", kind="string", help='The hashes of these services (a,b), or "*" for all'),
        Flag("images", help="The images, one a line"),
        Flag("no-consistency", help="Do not check that the parts fit together"),
        Flag("no-interpolate", help="Leave variables as they are"),
        Flag("no-normalize", help="Add nothing that the files imply"),
        Flag("no-path-resolution", help="Leave paths as they are"),
        Flag("output", "o", "string", "Write to this file"),
        Flag("profiles", help="The profiles, one a line"),
        Flag("quiet", "q", help="Only check, print nothing"),
        Flag("services", help="The services, one a line, those first that others depend on"),
        Flag("volumes", help="The volumes, one a line"),
    ),
)


def config(argv: Sequence[str], call: Call) -> int:
    from desktop.compose import order, output
    from desktop.compose.memory import load

    flags = parse(SPEC, argv)
    lists = ("services", "volumes", "hash", "profiles", "images")
    options = replace(
        call.options(),
        interpolates=not flags.on("no-interpolate"),
        normalises=not flags.on("no-normalize"),
        resolves_paths=not flags.on("no-path-resolution"),
        checks=not flags.on("no-consistency"),
        resolves_environment=not any(flags.given(name) for name in lists),
    )
    whole = load(options)
    project = whole.select(flags.args)
    if flags.on("services"):
        lines = order.sequence({name: item.depends_on for name, item in project.services.items()})
    elif flags.on("volumes"):
        lines = sorted(project.volumes)
    elif flags.text("hash"):
        wanted = flags.text("hash") or ""
        names = sorted(project.services if wanted == "*" else wanted.split(","))
        if missing := [name for name in names if name not in project.services]:
            raise Failure(f"no such service: {missing[0]}")
        lines = [f"{name} {output.service_hash(project.services[name])}" for name in names]
    elif flags.on("profiles"):
        lines = sorted({name for item in whole.every.values() for name in item.profiles})
    elif flags.on("images"):
        lines = [project.image_of(item) for item in project.services.values()]
    elif flags.text("format") in ("yaml", "json"):
        text = output.to_json(project) if flags.text("format") == "json" else output.to_yaml(project).rstrip("\n")
        if options.interpolates:
            text = text.replace("$", "$$")
        lines = [text]
    else:
        raise Failure(f'unsupported format "{flags.text("format")}"')
    if flags.on("quiet"):
        return 0
    if path := flags.text("output"):
        Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")
        return 0
    for line in lines:
        print(line)
    return 0
