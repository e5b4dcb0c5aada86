"""`--cache-from` and `--cache-to` of `cove build`: docker's words, as the engine's query wants them."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence

from desktop.cli.app import Failure

_PARTS = ("type", "ref", "mode", "ignore-error")


def cache_from(values: Sequence[str]) -> str | None:
    """The query's `cachefrom`: references of images or of caches. Raises Failure."""
    made = []
    for value in values:
        found = {"type": "registry", "ref": value} if "=" not in value else _parsed(value, "cache-from")
        if found["type"] != "registry" or not found.get("ref"):
            raise _unsupported(value, "cache-from", "registry")
        made.append(found["ref"])
    return json.dumps(made) if made else None


def cache_to(values: Sequence[str]) -> str | None:
    """The query's `cacheto`, which is Cove's own: a JSON list of docker's words. Raises Failure."""
    made = []
    for value in values:
        found = {"type": "registry", "ref": value} if "=" not in value else _parsed(value, "cache-to")
        if found["type"] not in ("registry", "inline"):
            raise _unsupported(value, "cache-to", "registry and type=inline")
        made.append(found)
    return json.dumps(made) if made else None


def _parsed(value: str, flag: str) -> dict[str, str]:
    found = dict(part.partition("=")[::2] for part in next(csv.reader([value])))
    if unknown := [key for key in found if key not in _PARTS and found.get("type") in ("registry", "inline")]:
        raise _invalid(value, flag, f"unknown attribute {unknown[0]}")
    if not found.get("type"):
        raise _invalid(value, flag, "it needs type=TYPE")
    return found


def _unsupported(value: str, flag: str, known: str) -> Failure:
    return _invalid(value, flag, f"cove build takes type={known} only")


def _invalid(value: str, flag: str, why: str) -> Failure:
    return Failure(f'invalid argument "{value}" for "--{flag}" flag: {why}', 125)
