"""Output of lists: aligned columns, templates, JSON lines; sizes and times in docker's format."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

_LEAST_WIDTH, _GAP = 10, 3  # docker's


class Row(dict[str, object]):
    """One line's fields, by docker's template names."""


class _Headings(dict[str, object]):
    """The fields of the heading line above a table that a template formats: each field gives its heading."""

    def __contains__(self, _: object) -> bool:
        return True

    def __missing__(self, name: str) -> str:
        return name.upper()


def show(rows: Sequence[Row], columns: Mapping[str, str], template: str | None) -> None:
    """Print `rows`. `columns`: headings by field, in order; `template`: a template, `table` and one, or `json`."""
    if template == "json":
        template = "{{json .}}"
    if template is None or template == "table":
        print_table(list(columns.values()), [[str(row[name]) for name in columns] for row in rows])
        return
    from desktop.cli.template import Template

    if template.startswith("table "):
        parsed = Template(template.removeprefix("table ").strip())
        headings, *cells = [parsed.render(row).split("\t") for row in (_Headings(columns), *rows)]
        print_table(headings, cells)
        return
    parsed = Template(template)
    for row in rows:
        print(parsed.render(row))


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]], least_width: int = _LEAST_WIDTH) -> None:
    for line in table_lines(headings, rows, least_width):
        print(line)


def table_lines(headings: Sequence[str], rows: Sequence[Sequence[str]], least_width: int) -> Iterator[str]:
    """The heading, then the rows; every column but the last is padded to its widest cell."""
    widths = [
        max(least_width, *(len(row[n]) + _GAP for row in (headings, *rows) if n < len(row)))
        for n in range(len(headings))
    ]
    for row in (headings, *rows):
        cells = [f"{cell:<{widths[n]}}" if n < len(headings) - 1 else cell for n, cell in enumerate(row)]
        yield "".join(cells)


_STEPS: Sequence[tuple[float, Callable[[float], str]]] = (
    (1, lambda s: "Less than a second"),
    (2, lambda s: "1 second"),
    (60, lambda s: f"{int(s)} seconds"),
    (120, lambda s: "About a minute"),
    (3600, lambda s: f"{int(s / 60)} minutes"),
    (3600 * 1.5, lambda s: "About an hour"),
    (3600 * 48, lambda s: f"{int(s / 3600 + 0.5)} hours"),
    (86400 * 14, lambda s: f"{int(s / 86400)} days"),
    (86400 * 60, lambda s: f"{int(s / 86400 / 7)} weeks"),
    (86400 * 730, lambda s: f"{int(s / 86400 / 30)} months"),
)


def duration(seconds: float) -> str:
    """`5 minutes`, as docker rounds."""
    for limit, word in _STEPS:
        if seconds < limit:
            return word(seconds)
    return f"{int(seconds / 86400 / 365)} years"


def ago(unix_s: float) -> str:
    return f"{duration(max(0.0, time.time() - unix_s))} ago" if unix_s > 0 else "N/A"


def moment(unix_s: float) -> str:
    """`2024-01-02 03:04:05 +0000 UTC`."""
    local = datetime.fromtimestamp(unix_s, tz=UTC).astimezone()
    return local.strftime("%Y-%m-%d %H:%M:%S %z %Z")


def human_size(size: float) -> str:
    """Base 1000, three figures: 1.98MB."""
    return scaled(size, 1000, ("B", "kB", "MB", "GB", "TB", "PB"), 3)


def human_memory(size: float) -> str:
    """Base 1024, four figures: 23.54GiB."""
    return scaled(size, 1024, ("B", "KiB", "MiB", "GiB", "TiB", "PiB"), 4)


def scaled(size: float, base: int, units: Sequence[str], figures: int) -> str:
    value, step = float(size), 0
    while value >= base and step < len(units) - 1:
        value, step = value / base, step + 1
    return f"{value:.{figures}g}{units[step]}"


def shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def short_id(identifier: str) -> str:
    return identifier.removeprefix("sha256:")[:12]
