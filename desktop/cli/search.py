"""`cove search`: images that a registry's index knows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from desktop.cli.filters import as_filters
from desktop.cli.flags import Flag, Spec, parse
from desktop.cli.table import Row, show
from desktop.client import logins

if TYPE_CHECKING:
    from desktop.cli.app import App

SPEC = Spec(
    name="search",
    usage="[OPTIONS] TERM",
    summary="Search Docker Hub, or the registry that TERM begins with, for images",
    least=1,
    most=1,
    flags=(
        Flag("filter", "f", "filter", "Only those for which this holds (stars=10, is-official=true)", many=True),
        Flag("format", kind="string", help="A template, `table` and a template, or json"),
        Flag("limit", kind="int", help="How many results at most"),
        Flag("no-trunc", help="Nothing is shortened"),
    ),
)
_COLUMNS = {"Name": "NAME", "Description": "DESCRIPTION", "StarCount": "STARS", "IsOfficial": "OFFICIAL"}
_MAX_DESCRIPTION = 45


def main(argv: Sequence[str], app: App) -> int:
    flags = parse(SPEC, argv)
    term = flags.args[0]
    query = {"term": term, "limit": flags.number("limit"), "filters": as_filters(flags.many("filter"))}
    auth = logins.header_for(term)
    found = app.client().request(
        "GET", "/images/search", query, limited=False, headers={"X-Registry-Auth": auth} if auth else None
    )
    is_json = flags.text("format") == "json"
    rows = [
        Row(
            Name=image["name"],
            Description=_description(str(image.get("description") or ""), whole=flags.on("no-trunc")),
            StarCount=str(image.get("star_count") or 0),
            IsOfficial=_mark(image.get("is_official"), is_json=is_json),
            IsAutomated=_mark(image.get("is_automated"), is_json=is_json),
        )
        for image in found or []
    ]
    show(rows, _COLUMNS, flags.text("format"))
    return 0


def _mark(value: object, *, is_json: bool) -> str:
    return str(bool(value)).lower() if is_json else "[OK]" if value else ""


def _description(text: str, *, whole: bool) -> str:
    line = text.replace("\n", " ").replace("\r", " ")
    return line if whole or len(line) <= _MAX_DESCRIPTION else line[: _MAX_DESCRIPTION - 1] + "…"
