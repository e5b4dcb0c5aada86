"""One event of the engine, as a plain value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """One event of the engine, for the Activity page."""

    at_s: float
    kind: str  # container, image, network, volume, engine
    action: str
    object_id: str
    name: str
    attributes: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> Happening:
        actor = event.get("Actor") or {}
        attributes = {str(k): str(v) for k, v in (actor.get("Attributes") or {}).items()}
        nanos = event.get("timeNano")
        return cls(
            at_s=float(nanos) / 1e9 if nanos else float(event.get("time") or 0),
            kind=str(event.get("Type") or "container"),
            action=str(event.get("Action") or event.get("status") or ""),
            object_id=str(actor.get("ID") or event.get("id") or ""),
            name=attributes.get("name") or str(actor.get("ID") or event.get("id") or ""),
            attributes=attributes,
        )
