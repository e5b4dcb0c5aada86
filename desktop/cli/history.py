"""`cove history`: list the steps that built an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from desktop.cli.flags import Flag, Spec, parse
from desktop.cli.platforms import sent
from desktop.cli.table import Row, ago, human_size, moment, short_id, shortened, show

if TYPE_CHECKING:
    from desktop.cli.app import App

SPEC = Spec(
    name="history",
    usage="[OPTIONS] IMAGE",
    summary="Show the steps an image was made of",
    least=1,
    most=1,
    flags=(
        Flag("format", kind="string", help="A template, `table` and a template, or json"),
        Flag("human", "H", default=True, help="Sizes and dates for people"),
        Flag("no-trunc", help="Nothing is shortened"),
        Flag("platform", kind="string", help="Of this platform's image (linux/arm64)"),
        Flag("quiet", "q", help="IDs only"),
    ),
)
_COLUMNS = {"ID": "IMAGE", "CreatedSince": "CREATED", "CreatedBy": "CREATED BY", "Size": "SIZE", "Comment": "COMMENT"}


def main(argv: Sequence[str], app: App) -> int:
    flags = parse(SPEC, argv)
    whole = flags.on("no-trunc")
    rows = []
    client = app.client()
    platform = sent(client, flags.text("platform"), (1, 48))
    for entry in client.image_history(flags.args[0], platform=platform):
        command = str(entry.get("CreatedBy") or "").replace("\t", " ")
        identifier = str(entry["Id"])
        rows.append(
            Row(
                ID=identifier if whole else short_id(identifier),
                CreatedSince=ago(entry["Created"]) if flags.on("human") else moment(entry["Created"]),
                CreatedAt=moment(entry["Created"]),
                CreatedBy=command if whole else shortened(command, 45),
                Size=human_size(entry["Size"]) if flags.on("human") else str(entry["Size"]),
                Comment=str(entry.get("Comment") or ""),
            )
        )
    if flags.on("quiet"):
        for row in rows:
            print(row["ID"])
        return 0
    show(rows, _COLUMNS, flags.text("format"))
    return 0
