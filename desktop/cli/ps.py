"""`cove ps`: list containers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from desktop.cli.filters import as_filters
from desktop.cli.flags import Flag, Spec, parse
from desktop.cli.table import Row, ago, human_size, moment, shortened, show

if TYPE_CHECKING:
    from desktop.cli.app import App

SPEC = Spec(
    name="ps",
    usage="[OPTIONS]",
    summary="List containers",
    most=0,
    flags=(
        Flag("all", "a", help="Stopped ones too"),
        Flag("filter", "f", "filter", "Only those for which this holds (name=web, status=exited)", many=True),
        Flag("format", kind="string", help="A template, `table` and a template, or json"),
        Flag("last", "n", "int", "The last n created, in whatever state", default=-1),
        Flag("latest", "l", help="The last one created"),
        Flag("no-trunc", help="Nothing is shortened"),
        Flag("quiet", "q", help="IDs only"),
        Flag("size", "s", help="With sizes"),
    ),
)
_COLUMNS = {
    "ID": "CONTAINER ID",
    "Image": "IMAGE",
    "Command": "COMMAND",
    "RunningFor": "CREATED",
    "Status": "STATUS",
    "Ports": "PORTS",
    "Names": "NAMES",
}


def main(argv: Sequence[str], app: App) -> int:
    flags = parse(SPEC, argv)
    template = flags.text("format")
    size = flags.on("size") or (template is not None and ".Size" in template)
    limit = 1 if flags.on("latest") else flags.number("last")
    containers = app.client().containers(
        flags.on("all"),
        limit=limit if limit and limit > 0 else None,
        size=size,
        filters=as_filters(flags.many("filter")),
    )
    whole = flags.on("no-trunc")
    rows = [_row(container, whole=whole) for container in containers]
    if flags.on("quiet") and template is None:
        for row in rows:
            print(row["ID"])
        return 0
    show(rows, _COLUMNS | ({"Size": "SIZE"} if flags.on("size") else {}), template)
    return 0


def _row(container: Mapping[str, Any], *, whole: bool) -> Row:
    names = [str(name).lstrip("/") for name in container.get("Names") or ()]
    command = f'"{container.get("Command") or ""}"'
    image = str(container.get("Image") or "<no image>")
    mounts = [str(mount.get("Name") or mount.get("Source") or "") for mount in container.get("Mounts") or ()]
    labels = container.get("Labels") or {}
    row = Row(
        ID=container["Id"] if whole else container["Id"][:12],
        Image=image if whole else image.removeprefix("sha256:")[:12] if image.startswith("sha256:") else image,
        Command=command if whole else f'"{shortened(command[1:-1], 20)}"',
        CreatedAt=moment(container["Created"]),
        RunningFor=ago(container["Created"]),
        Status=container.get("Status") or "",
        State=container.get("State") or "",
        Ports=ports_text(container.get("Ports") or ()),
        Names=",".join(name for name in names if "/" not in name) or ",".join(names),
        Labels=",".join(f"{key}={value}" for key, value in labels.items()),
        Mounts=",".join(mount if whole else shortened(mount, 15) for mount in mounts),
        LocalVolumes=str(sum(mount.get("Driver") == "local" for mount in container.get("Mounts") or ())),
        Networks=",".join((container.get("NetworkSettings") or {}).get("Networks") or ()),
        Size=_size(container),
    )
    row["Label"] = lambda key: labels.get(key, "")
    return row


def _size(container: Mapping[str, Any]) -> str:
    text = human_size(container.get("SizeRw") or 0)
    if container.get("SizeRootFs"):
        text += f" (virtual {human_size(container['SizeRootFs'])})"
    return text


def ports_text(ports: Sequence[Mapping[str, Any]]) -> str:
    """`0.0.0.0:8080->80/tcp, 90/tcp`; runs of ports are joined: `8000-8002->80-82/tcp`."""
    groups: list[list[Any]] = []  # address, protocol, first and last inside, first outside or None
    for port in sorted(ports, key=lambda p: (p.get("IP") or "", p["Type"], p["PrivatePort"], p.get("PublicPort") or 0)):
        address, outside, inside = port.get("IP") or "", port.get("PublicPort"), port["PrivatePort"]
        if groups:
            last = groups[-1]
            follows = last[:2] == [address, port["Type"]] and inside == last[3] + 1
            if follows and (last[4] + inside - last[2] == outside if last[4] else not outside):
                last[3] = inside
                continue
        groups.append([address, port["Type"], inside, inside, outside])
    published = [_port_text(*group) for group in groups if group[4]]
    return ", ".join(published + [_port_text(*group) for group in groups if not group[4]])


def _port_text(address: str, protocol: str, first: int, last: int, outside: int | None) -> str:
    inside = str(first) if first == last else f"{first}-{last}"
    if not outside:
        return f"{inside}/{protocol}"
    host = f"[{address}]" if ":" in address else address
    span = str(outside) if first == last else f"{outside}-{outside + last - first}"
    return f"{host}:{span}->{inside}/{protocol}"
