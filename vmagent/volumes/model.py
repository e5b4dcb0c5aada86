"""The type of a volume: a name, a folder with its data, and a record beside it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vmagent.errors import BadRequest, EngineError
from vmagent.volumes.devices import Device, device_of

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
    def device(self) -> Device | None:
        """The file system that is mounted at `data` while containers use the volume; None for most."""
        return device_of(self.options)

    @property
    def source(self) -> Path:
        """The folder that containers mount: `data`, or the folder of the host that the options bind."""
        folder = self.options.get("device")
        return Path(folder) if folder and self.device is None else self.data

    @property
    def is_own(self) -> bool:
        """Whether the files lie on the data root's file system."""
        return not self.options.get("device")

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
                name=data.parent.name,  # not the record's: a rename is over with the folder's, before that is rewritten
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
