"""`cove events`: print the engine's events as they are published."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from desktop.cli.app import Failure
from desktop.cli.filters import as_filters
from desktop.cli.flags import Flag, Spec, parse
from desktop.cli.timestamps import api_time

if TYPE_CHECKING:
    from desktop.cli.app import App

SPEC = Spec(
    name="events",
    usage="[OPTIONS]",
    summary="Show what happens, as it happens",
    most=0,
    flags=(
        Flag("filter", "f", "filter", "Only those for which this holds (event=die, container=web)", many=True),
        Flag("format", kind="string", help="A template or json"),
        Flag("since", kind="string", help="Also those since this time, or back from now (10m)"),
        Flag("until", kind="string", help="Up to this time"),
    ),
)


def main(argv: Sequence[str], app: App) -> int:
    flags = parse(SPEC, argv)
    try:
        since, until = api_time(flags.text("since"), "since"), api_time(flags.text("until"), "until")
    except ValueError as e:
        raise Failure(str(e)) from e
    template = _template(flags.text("format"))
    with app.client().events(since, as_filters(flags.many("filter")), until=until) as events:
        for event in events:
            print(template(event) if template else line_of(event), flush=True)
    return 0


def _template(text: str | None) -> Callable[[object], str] | None:
    if not text:
        return None
    from desktop.cli.template import Template, to_json

    return to_json if text == "json" else Template(text).render


def line_of(event: Mapping[str, Any]) -> str:
    """`2024-01-02T03:04:05.000000000+00:00 container die <id> (exitCode=0, name=x)`: local time, nanoseconds."""
    nanoseconds = int(event.get("timeNano") or int(event.get("time") or 0) * 10**9)
    local = datetime.fromtimestamp(nanoseconds // 10**9, tz=UTC).astimezone()
    zone = local.strftime("%z")
    stamp = f"{local:%Y-%m-%dT%H:%M:%S}.{nanoseconds % 10**9:09d}{zone[:3]}:{zone[3:]}"
    actor = event.get("Actor") or {}
    attributes = ", ".join(f"{key}={value}" for key, value in sorted((actor.get("Attributes") or {}).items()))
    line = f"{stamp} {event.get('Type', '')} {event.get('Action', '')} {actor.get('ID', '')}"
    return f"{line} ({attributes})" if attributes else line
