"""The lines of a Dockerfile around a fault, marked, as BuildKit's clients show them."""

from __future__ import annotations

from collections.abc import Iterable

from vmagent.dockerfile.errors import Lines

_RULE = "-" * 20


def excerpt(source: str, filename: str, places: Iterable[Lines]) -> str:
    """`Dockerfile:2`, then the lines with `>>>` before those in `places`; "" where the source has no such lines."""
    found = list(places)
    lines = source.split("\n")
    if not found:
        return ""
    first, last = min(place.first for place in found), min(max(place.last for place in found), len(lines))
    if not 1 <= first <= len(lines):
        return ""
    last = max(first, last)
    context = 2 if first == last else 1
    start, end = max(1, first - context), min(len(lines), last + context)
    shown = [
        f" {number:3d} | {'>>>' if any(place.first <= number <= place.last for place in found) else '   '}"
        f" {lines[number - 1]}\n"
        for number in range(start, end + 1)
    ]
    return "".join([f"{filename}:{first}\n{_RULE}\n", *shown, f"{_RULE}\n"])
