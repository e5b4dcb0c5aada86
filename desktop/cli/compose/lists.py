"""`cove compose` ps, images, top, port, ls, volumes and version: what there is, as tables."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from desktop.cli.app import Failure
from desktop.cli.compose.selection import INDEX, chosen, is_up, one_container
from desktop.cli.flags import Flag, Spec, parse
from desktop.cli.table import Row, ago, human_size, print_table, short_id, shortened, show, table_lines

if TYPE_CHECKING:
    from desktop.cli.compose.main import Call
    from desktop.compose.state import Container

_WIDTH = 20  # docker compose's narrowest column in these tables
_FORMAT = Flag("format", kind="string", help="table or json", default="table")
PS = Spec(
    name="compose ps",
    usage="[OPTIONS] [SERVICE...]",
    summary="List a project's containers",
    flags=(
        Flag("all", "a", help="Stopped ones too, and those of run"),
        Flag("format", kind="string", help="table, a template, or json", default="table"),
        Flag("no-trunc", help="Nothing is shortened"),
        Flag("quiet", "q", help="IDs only"),
        Flag("services", help="The services' names only"),
        Flag("status", kind="list", many=True, help="Only those in this state"),
    ),
)
IMAGES = Spec(
    name="compose images",
    usage="[OPTIONS] [SERVICE...]",
    summary="List the images of a project's containers",
    flags=(_FORMAT, Flag("quiet", "q", help="IDs only")),
)
TOP = Spec(name="compose top", usage="[SERVICE...]", summary="Show the processes of a project's containers")
PORT = Spec(
    name="compose port",
    usage="[OPTIONS] SERVICE PRIVATE_PORT",
    summary="Show the address at which a service's port is published",
    least=2,
    most=2,
    flags=(INDEX, Flag("protocol", kind="string", help="tcp or udp", default="tcp")),
)
LS = Spec(
    name="compose ls",
    usage="[OPTIONS]",
    summary="List the projects that the engine has",
    most=0,
    flags=(
        Flag("all", "a", help="Stopped ones too"),
        Flag("filter", kind="filter", many=True, help="Only those for which this holds (name=x)"),
        _FORMAT,
        Flag("quiet", "q", help="Names only"),
    ),
)
VOLUMES = Spec(
    name="compose volumes",
    usage="[OPTIONS] [SERVICE...]",
    summary="List a project's volumes",
    flags=(
        Flag("format", kind="string", help="A template, `table` and a template, or json", default="table"),
        Flag("quiet", "q", help="Names only"),
    ),
)
VERSION = Spec(
    name="compose version",
    usage="[OPTIONS]",
    summary="Show the version of cove compose",
    most=0,
    flags=(Flag("format", "f", "string", "pretty or json", default="pretty"), Flag("short", help="The number only")),
)
_PS_COLUMNS = {
    "Name": "NAME", "Image": "IMAGE", "Command": "COMMAND", "Service": "SERVICE", "RunningFor": "CREATED",
    "Status": "STATUS", "Ports": "PORTS",
}  # fmt: skip


def ps(argv: Sequence[str], call: Call) -> int:
    from desktop.compose.state import observe

    flags = parse(PS, argv)
    name, _ = call.name_and_project(flags.args)
    every = flags.on("all") or bool(flags.many("status"))
    containers = [one for one in observe(call.client(), name, all=every) if every or not one.is_oneoff]
    if flags.args:
        containers = [one for one in containers if one.service in flags.args]
    if flags.many("status"):
        containers = [one for one in containers if one.state in flags.many("status")]
    containers.sort(key=lambda one: one.name)
    if flags.on("quiet") or flags.on("services"):
        lines = [one.service if flags.on("services") else one.id for one in containers]
        for line in dict.fromkeys(lines):
            print(line)
        return 0
    rows = [_row(one, whole=flags.on("no-trunc")) for one in containers]
    if flags.text("format") == "json":
        for row in rows:
            print(json.dumps(row, separators=(",", ":")))
        return 0
    show(rows, _PS_COLUMNS, flags.text("format"))
    return 0


def _row(one: Container, *, whole: bool) -> Row:
    from desktop.cli.ps import ports_text

    listed = one.listed
    command = str(listed.get("Command") or "")
    networks = ((listed.get("NetworkSettings") or {}).get("Networks") or {}).keys()
    return Row(
        ID=one.id if whole else one.id[:12],
        Name=one.name,
        Names=one.name,
        Image=listed.get("Image") or "",
        Command=f'"{command if whole else shortened(command, 20)}"',
        Project=one.labels.get("com.docker.compose.project", ""),
        Service=one.service,
        RunningFor=ago(listed["Created"]),
        CreatedAt=listed["Created"],
        Status=listed.get("Status") or "",
        State=one.state,
        Ports=ports_text(listed.get("Ports") or ()),
        Networks=",".join(networks),
        Labels=",".join(f"{key}={value}" for key, value in one.labels.items()),
    )


def _table_or_json(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], format: str | None) -> None:
    """Print a table of `columns` (headings by field), or one JSON list. Raises Failure for another format."""
    if format == "json":
        print(json.dumps(rows, separators=(",", ":"), ensure_ascii=False))
    elif format in (None, "", "table", "pretty"):
        cells = [[str(row[name]) for name in columns] for row in rows]
        print_table(list(columns.values()), cells, least_width=_WIDTH)
    else:
        raise Failure(f'format value "{format}" could not be parsed: parsing failed')


def images(argv: Sequence[str], call: Call) -> int:
    from desktop.client import reference

    flags = parse(IMAGES, argv)
    client, _, _, containers = chosen(call, flags.args)
    found = {id: client.image_inspect(id) for id in {str(one.listed["ImageID"]) for one in containers}}
    if flags.on("quiet"):
        for id in dict.fromkeys(str(one.listed["ImageID"]) for one in containers):
            print(id.removeprefix("sha256:"))
        return 0
    is_json = flags.text("format") == "json"
    rows = []
    for one in sorted(containers, key=lambda one: one.name):
        id = str(one.listed["ImageID"])
        names = [str(one.listed["Image"]), *(found[id].get("RepoTags") or ())]
        wanted = next((reference.parse(name) for name in names if not name.startswith("sha256:")), None)
        size = int(found[id]["Size"])
        rows.append(
            {
                "ID": id if is_json else short_id(id),
                "ContainerName": one.name,
                "Repository": wanted.repository if wanted else "<none>",
                "Tag": (wanted.tag or "latest") if wanted else "<none>",
                "Size": size if is_json else human_size(size),
            }
        )
    columns = {
        "ContainerName": "CONTAINER", "Repository": "REPOSITORY", "Tag": "TAG", "ID": "IMAGE ID", "Size": "SIZE",
    }  # fmt: skip
    _table_or_json(rows, columns, flags.text("format"))
    return 0


def top(argv: Sequence[str], call: Call) -> int:
    flags = parse(TOP, argv)
    client, _, _, containers = chosen(call, flags.args)
    for one in sorted(containers, key=lambda one: one.name):
        if not is_up(one):
            continue
        told = client.top(one.id)
        # docker compose pads the last column too, but not its heading.
        rows = [[*row, ""] for row in told["Processes"]]
        heading, *lines = table_lines([*told["Titles"], ""], rows, least_width=5)
        print(one.name, heading.rstrip(), *lines, "", sep="\n")
    return 0


def port(argv: Sequence[str], call: Call) -> int:
    flags = parse(PORT, argv)
    service, private = flags.args
    protocol = (flags.text("protocol") or "tcp").lower()
    try:
        wanted = int(private)
    except ValueError:
        raise Failure(f'strconv.ParseUint: parsing "{private}": invalid syntax') from None
    one = one_container(call, service, flags.number("index"))
    ports = one.listed.get("Ports") or ()
    for found in ports:
        if (found["PrivatePort"], found["Type"], bool(found.get("PublicPort"))) == (wanted, protocol, True):
            address = str(found.get("IP") or "")
            print(f"{f'[{address}]' if ':' in address else address}:{found['PublicPort']}")
            return 0
    others = ", ".join(f"{found.get('PublicPort') or found['PrivatePort']}/{found['Type']}" for found in ports)
    raise Failure(f"no port {wanted}/{protocol} for container {one.name}: {others}")


def ls(argv: Sequence[str], call: Call) -> int:
    from desktop.compose.state import projects

    flags = parse(LS, argv)
    names = []
    for text in flags.many("filter"):
        key, _, value = text.partition("=")
        if key != "name":
            raise Failure(f"invalid filter '{key}'")
        names.append(value)
    found = projects(call.client(), all=flags.on("all"))
    rows = [
        {"Name": one.name, "Status": one.status, "ConfigFiles": one.files}
        for one in found
        if not names or any(name in one.name for name in names)
    ]
    if flags.on("quiet"):
        for row in rows:
            print(row["Name"])
        return 0
    _table_or_json(rows, {"Name": "NAME", "Status": "STATUS", "ConfigFiles": "CONFIG FILES"}, flags.text("format"))
    return 0


def volumes(argv: Sequence[str], call: Call) -> int:
    from desktop.cli import volume
    from desktop.compose import labels

    flags = parse(VOLUMES, argv)
    name, project = call.name_and_project(flags.args)
    wanted = None
    if flags.args and project is not None:
        wanted = set(project.select(flags.args, dependencies=False).volumes)
    query = {"filters": {"label": [f"{labels.PROJECT}={name}"]}}
    found = call.client().json_object("GET", "/volumes", query).get("Volumes") or []
    kept = [one for one in found if wanted is None or (one.get("Labels") or {}).get(labels.VOLUME) in wanted]
    volume.show_volumes(kept, flags.text("format"), quiet=flags.on("quiet"))
    return 0


def version(argv: Sequence[str], call: Call) -> int:
    from desktop.cli.version import VERSION as NUMBER

    flags = parse(VERSION, argv)
    if flags.on("short"):
        print(NUMBER)
    elif flags.text("format") == "json":
        print(json.dumps({"version": NUMBER}, separators=(",", ":")))
    else:
        print(f"Cove Compose version {NUMBER}")
    return 0
