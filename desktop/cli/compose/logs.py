"""`cove compose` logs, events and stats: what the containers write, do and use."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from desktop.cli.app import Failure
from desktop.cli.compose.selection import INDEX, chosen, is_up
from desktop.cli.flags import Flag, Spec, parse
from desktop.cli.timestamps import api_time

if TYPE_CHECKING:
    from desktop.cli.compose.main import Call

LOGS = Spec(
    name="compose logs",
    usage="[OPTIONS] [SERVICE...]",
    summary="Show what a project's containers have written",
    flags=(
        Flag("follow", "f", help="Go on with what they write"),
        INDEX,
        Flag("no-color", help="Without colours"),
        Flag("no-log-prefix", help="Without the containers' names"),
        Flag("since", kind="string", help="From this time on, or back from now (42m)"),
        Flag("tail", "n", "string", "How many lines from the end of each", default="all"),
        Flag("timestamps", "t", help="With the time of each line"),
        Flag("until", kind="string", help="Up to this time, or back from now"),
    ),
)
EVENTS = Spec(
    name="compose events",
    usage="[OPTIONS] [SERVICE...]",
    summary="Show what happens to a project's containers, as it happens",
    flags=(Flag("json", help="One JSON object a line"),),
)
STATS = Spec(
    name="compose stats",
    usage="[OPTIONS] [SERVICE]",
    summary="Show what a project's containers use, live",
    most=1,
    flags=(
        Flag("all", "a", help="Stopped ones too"),
        Flag("format", kind="string", help="A template, `table` and a template, or json"),
        Flag("no-stream", help="Once"),
        Flag("no-trunc", help="Nothing is shortened"),
    ),
)


def logs(argv: Sequence[str], call: Call) -> int:
    from desktop.cli.compose.up import printer_of
    from desktop.compose import attached

    flags = parse(LOGS, argv)
    try:
        since, until = api_time(flags.text("since"), "since"), api_time(flags.text("until"), "until")
    except ValueError as e:
        raise Failure(str(e)) from e
    client, name, _, containers = chosen(call, flags.args, number=flags.number("index"))
    printer = printer_of(call, name, flags)
    options = attached.LogOptions(
        follow=flags.on("follow"), tail=flags.text("tail"), timestamps=flags.on("timestamps"), since=since, until=until
    )
    with contextlib.suppress(KeyboardInterrupt):
        attached.logs(client, containers, printer, options)
    return 0


def events(argv: Sequence[str], call: Call) -> int:
    from desktop.compose import labels

    flags = parse(EVENTS, argv)
    name, _ = call.name_and_project(flags.args)
    line_of = _json_line if flags.on("json") else _text_line
    filters = {"label": [f"{labels.PROJECT}={name}"], "type": ["container"]}
    with contextlib.suppress(KeyboardInterrupt), call.client().events(filters=filters) as found:
        for event in found:
            attributes = dict((event.get("Actor") or {}).get("Attributes") or {})
            service = attributes.get(labels.SERVICE, "")
            if attributes.get(labels.ONEOFF) == "True" or (flags.args and service not in flags.args):
                continue
            shown = {key: text for key, text in sorted(attributes.items()) if not key.startswith(labels.PREFIX)}
            print(line_of(event, service, shown), flush=True)
    return 0


def _text_line(event: Mapping[str, Any], service: str, attributes: Mapping[str, str]) -> str:
    """`2024-01-02 03:04:05.000000 container start <id> (image=busybox, name=shop-web-1)`: local time."""
    local = datetime.fromtimestamp(int(event["timeNano"]) // 10**9, tz=UTC).astimezone()
    stamp = f"{local:%Y-%m-%d %H:%M:%S}.{int(event['timeNano']) % 10**9 // 1000:06d}"
    shown = ", ".join(f"{key}={text}" for key, text in attributes.items())
    return f"{stamp} {event['Type']} {event['Action']} {event['Actor']['ID']} ({shown})"


def _json_line(event: Mapping[str, Any], service: str, attributes: Mapping[str, str]) -> str:
    nanoseconds = int(event["timeNano"])
    local = datetime.fromtimestamp(nanoseconds // 10**9, tz=UTC).astimezone()
    zone = local.strftime("%z")
    stamp = f"{local:%Y-%m-%dT%H:%M:%S}.{nanoseconds % 10**9:09d}".rstrip("0").rstrip(".")
    told = {
        "action": event["Action"],
        "attributes": attributes,
        "id": event["Actor"]["ID"],
        "service": service,
        "time": stamp + ("Z" if zone == "+0000" else f"{zone[:3]}:{zone[3:]}"),
        "type": event["Type"],
    }
    return json.dumps(told, separators=(",", ":"), ensure_ascii=False)


def stats(argv: Sequence[str], call: Call) -> int:
    from desktop.cli import stats as stats_command

    flags = parse(STATS, argv)
    client = chosen(call, flags.args).client  # also refuses an unknown service

    def names() -> list[str]:
        found = chosen(call, flags.args).containers
        return [one.id for one in found if flags.on("all") or is_up(one)]

    with contextlib.suppress(KeyboardInterrupt):
        stats_command.follow(client, names, flags)
    return 0
