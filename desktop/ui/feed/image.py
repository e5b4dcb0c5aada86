"""An image as the engine lists it, as a plain value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from desktop.client.reference import InvalidReference, parse


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One image, shown once per name; `tags` empty means untagged."""

    id: str
    tags: tuple[str, ...]
    size: int
    created_s: float
    used_by: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_list(cls, entry: Mapping[str, Any]) -> Image:
        """From one entry of `GET /images/json` (ImageSummary)."""
        tags = tuple(str(t) for t in entry.get("RepoTags") or () if str(t) != "<none>:<none>")
        return cls(
            id=str(entry["Id"]),
            tags=tags,
            size=int(entry.get("Size") or 0),
            created_s=float(entry.get("Created") or 0),
            labels=dict(entry.get("Labels") or {}),
        )


def wrong_reference(text: str) -> str:
    """Why `text` cannot be an image's name; empty if it can."""
    try:
        parse(text)
    except InvalidReference as e:
        return str(e)
    return ""
