"""Label filters: `label` and `label!`, each KEY or KEY=VALUE; all must hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def has_labels(labels: Mapping[str, str], filters: Mapping[str, Sequence[str]]) -> bool:
    """Whether `labels` pass the keys `label` and `label!` of `filters`."""
    return all(_has(labels, wanted) for wanted in filters.get("label", ())) and not any(
        _has(labels, unwanted) for unwanted in filters.get("label!", ())
    )


def _has(labels: Mapping[str, str], wanted: str) -> bool:
    key, equals, value = wanted.partition("=")
    return key in labels and (not equals or labels[key] == value)
