"""`--filter key=value`, as the Engine API takes them."""

from __future__ import annotations

from collections.abc import Sequence


def as_filters(texts: Sequence[str]) -> dict[str, list[str]]:
    """The values of each key, in a list for each."""
    found: dict[str, list[str]] = {}
    for text in texts:
        key, _, value = text.partition("=")
        found.setdefault(key.strip().lower(), []).append(value.strip())
    return found
