"""`--filter key=value`, as the Engine API takes them."""

from __future__ import annotations

from collections.abc import Sequence


def as_filters(texts: Sequence[str]) -> dict[str, list[str]]:
    """Several values of one key are kept together."""
    found: dict[str, list[str]] = {}
    for text in texts:
        key, _, value = text.partition("=")
        found.setdefault(key.strip().lower(), []).append(value.strip())
    return found
