"""`cove volume`: ls, create, rm, inspect, prune; export, import, clone and rename are in `volumedata`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from desktop.cli import groups
from desktop.cli.each import each
from desktop.cli.filters import as_filters
from desktop.cli.flags import Flag, Spec, parse
from desktop.cli.table import Row, show
from desktop.client.api import path_part

if TYPE_CHECKING:
    from desktop.cli.app import App

LS = Spec(name="volume ls", usage="[OPTIONS]", summary="List volumes", most=0, flags=groups.LIST_FLAGS)
CREATE = Spec(
    name="volume create",
    usage="[OPTIONS] [VOLUME]",
    summary="Create a volume; prints its name",
    most=1,
    flags=(
        Flag("driver", "d", "string", "The volume's driver", default="local"),
        Flag("label", kind="list", many=True, help="Set a label (key=value)"),
        Flag("name", kind="string", help="The volume's name"),
        Flag("opt", "o", "list", "Option of the driver (key=value)", many=True),
    ),
)
RM = Spec(
    name="volume rm",
    usage="[OPTIONS] VOLUME [VOLUME...]",
    summary="Remove volumes",
    least=1,
    flags=(
        Flag("force", "f", help="A missing one is no failure"),
        Flag("restorable", help="Into the bin: 'cove bin restore' brings it back for 24 hours"),
    ),
)
_COLUMNS = {"Driver": "DRIVER", "Name": "VOLUME NAME"}


def _ls(argv: Sequence[str], app: App) -> int:
    flags = parse(LS, argv)
    query = {"filters": as_filters(flags.many("filter"))}
    volumes = app.client().json_object("GET", "/volumes", query).get("Volumes") or []
    show_volumes(volumes, flags.text("format"), quiet=flags.on("quiet"))
    return 0


def show_volumes(volumes: Sequence[Mapping[str, Any]], template: str | None, *, quiet: bool) -> None:
    """Print volumes as the API lists them: a table or by `template`; `quiet` only their names."""
    rows = [
        Row(
            Name=volume["Name"],
            Driver=volume["Driver"],
            Scope=volume.get("Scope", "local"),
            Mountpoint=volume.get("Mountpoint", ""),
            Labels=",".join(f"{key}={value}" for key, value in (volume.get("Labels") or {}).items()),
        )
        for volume in sorted(volumes, key=lambda volume: str(volume["Name"]))
    ]
    if quiet:
        for row in rows:
            print(row["Name"])
        return
    show(rows, _COLUMNS, template)


def _create(argv: Sequence[str], app: App) -> int:
    flags = parse(CREATE, argv)
    body = {
        "Name": flags.args[0] if flags.args else flags.text("name") or "",
        "Driver": flags.text("driver"),
        "DriverOpts": groups.pairs(flags.many("opt")),
        "Labels": groups.pairs(flags.many("label")),
    }
    print(app.client().json_object("POST", "/volumes/create", None, body)["Name"])
    return 0


def _rm(argv: Sequence[str], app: App) -> int:
    flags = parse(RM, argv)
    client, query = app.client(), {"force": flags.on("force") or None, "restorable": flags.on("restorable") or None}
    if flags.on("restorable"):
        from desktop.cli import bin as bin_command

        bin_command.entries(client)  # without a bin, it would be gone for good

    def remove(name: str) -> None:
        client.request("DELETE", f"/volumes/{path_part(name)}", query, limited=False)

    return each(flags.args, remove)


def _inspect(argv: Sequence[str], app: App) -> int:
    from desktop.cli import inspect

    return inspect.main(["--type", "volume", *argv], app)


def _data(verb: str) -> groups.Verb:
    """A verb of `volumedata`, which is loaded when it is called."""

    def run(argv: Sequence[str], app: App) -> int:
        from desktop.cli import volumedata

        return {
            "export": volumedata.export,
            "import": volumedata.import_,
            "clone": volumedata.clone,
            "rename": volumedata.rename,
        }[verb](argv, app)

    return run


SPEC = groups.spec("volume", "Volumes")
VERBS: groups.Verbs = {
    "ls": _ls,
    "list": _ls,
    "create": _create,
    "rm": _rm,
    "remove": _rm,
    "inspect": _inspect,
    "export": _data("export"),
    "import": _data("import"),
    "clone": _data("clone"),
    "rename": _data("rename"),
    "prune": groups.prune("volume", "VolumesDeleted", "anonymous local volumes not used by at least one container"),
}


def main(argv: Sequence[str], app: App) -> int:
    return groups.dispatch(SPEC, VERBS, argv, app)
