"""Searching a registry's index, as `docker search` does: Engine API, ImageSearch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vmagent.errors import BadRequest
from vmagent.images.reference import DEFAULT_DOMAIN, registry_of

LIMIT = 25  # results where the client names no number
LIMITS = (1, 100)
FILTERS = frozenset(("is-automated", "is-official", "stars"))
_BOOLS = {"true": True, "1": True, "false": False, "0": False}


def check(limit: int, filters: Mapping[str, Sequence[str]]) -> None:
    """Raises BadRequest in docker's words."""
    if not LIMITS[0] <= limit <= LIMITS[1]:
        raise BadRequest(f"limit {limit} is outside the range of [{LIMITS[0]}, {LIMITS[1]}]")
    for key, values in filters.items():
        for value in values:
            if not (value.isdecimal() if key == "stars" else value.lower() in _BOOLS):
                raise BadRequest(f"invalid filter '{key}={value}'")


def split(term: str) -> tuple[str, str]:
    """The registry's domain and what to look for there. Raises BadRequest."""
    if "://" in term:
        raise BadRequest("invalid repository name: repository name should not have a scheme")
    first, slash, rest = term.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        domain, name = registry_of(first), rest
    else:
        domain, name = DEFAULT_DOMAIN, term
    return domain, name.removeprefix("library/") if domain == DEFAULT_DOMAIN else name


def chosen(results: Iterable[Mapping[str, Any]], filters: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """The results that pass the filters, in the API's shape."""
    least = max((int(text) for text in filters.get("stars", ())), default=0)
    found = []
    for result in results:
        shape: dict[str, Any] = {
            "star_count": int(result.get("star_count") or 0),
            "is_official": bool(result.get("is_official")),
            "name": str(result.get("name") or ""),
            "is_automated": bool(result.get("is_automated")),
            "description": str(result.get("description") or ""),
        }
        asked = {key: _BOOLS[value.lower()] for key in FILTERS - {"stars"} for value in filters.get(key, ())}
        if shape["star_count"] >= least and all(shape[key.replace("-", "_")] == value for key, value in asked.items()):
            found.append(shape)
    return found
