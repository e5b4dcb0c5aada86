"""The type of a volume: a name, a folder with its data, and a record beside it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vmagent.errors import BadRequest, EngineError, NotImplementedHere

SCHEMA = 1
ANONYMOUS_LABEL = "com.docker.volume.anonymous"
MAX_NAME = 255  # bytes; it becomes a file name
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """One volume of the local driver."""

    name: str
    created: datetime
    data: Path  # the folder that docker calls Mountpoint
    labels: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def driver(self) -> str:
        return "local"

    @property
    def is_anonymous(self) -> bool:
        return ANONYMOUS_LABEL in self.labels

    @property
    def source(self) -> Path:
        """The folder that containers mount: `data`, or the folder of the host that the options bind."""
        device = self.options.get("device")
        return Path(device) if device else self.data

    def to_json(self) -> dict[str, Any]:
        """The Engine API's object Volume."""
        return {
            "CreatedAt": self.created.isoformat(timespec="seconds").replace("+00:00", "Z"),
            "Driver": self.driver,
            "Labels": dict(self.labels),
            "Mountpoint": str(self.data),
            "Name": self.name,
            "Options": dict(self.options) or None,
            "Scope": "local",
        }

    def to_record(self) -> bytes:
        """The content of volume.json."""
        return json.dumps(
            {
                "schema": SCHEMA,
                "name": self.name,
                "created": self.created.isoformat(),
                "labels": dict(self.labels),
                "options": dict(self.options),
            }
        ).encode()

    @classmethod
    def from_record(cls, raw: bytes, data: Path) -> Volume:
        """The volume of a record. Raises EngineError if `raw` is not a record, or has a newer schema."""
        try:
            record = json.loads(raw)
            if record["schema"] > SCHEMA:
                raise EngineError(f"volume {data.parent.name} was written by a newer engine: schema {record['schema']}")
            return cls(
                name=record["name"],
                created=datetime.fromisoformat(record["created"]),
                data=data,
                labels=record["labels"],
                options=record["options"],
            )
        except (ValueError, KeyError, TypeError) as e:
            raise EngineError(f"the record of volume {data.parent.name} is damaged: {e}") from e


def now() -> datetime:
    """The current time, for a volume's creation."""
    return datetime.now(UTC)


def check_name(name: str) -> None:
    """Raises BadRequest if `name` is not a valid volume name."""
    if _NAME.fullmatch(name) is None:
        raise BadRequest(
            f'create {name}: "{name}" includes invalid characters for a local volume name, only '
            '"[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path'
        )
    if len(name) > MAX_NAME:
        raise BadRequest(f"create {name[:32]}…: the volume name is over {MAX_NAME} characters")


def check_options(name: str, options: Mapping[str, str]) -> None:
    """Check options of the local driver; only a bind of a folder of the host is supported.

    Raises BadRequest, NotImplementedHere.
    """
    if not options:
        return
    if unknown := set(options) - {"type", "o", "device"}:
        raise BadRequest(f'create {name}: invalid option: "{min(unknown)}"')
    is_bind = options.get("type", "none") in ("none", "bind", "") and "bind" in options.get("o", "").split(",")
    if not is_bind:
        raise NotImplementedHere(
            f"create {name}: of the local driver's options only binds (type=none, o=bind, device=/path) are supported"
        )
    if not options.get("device", "").startswith("/"):
        raise BadRequest(f"create {name}: missing required option: an absolute path as device")
