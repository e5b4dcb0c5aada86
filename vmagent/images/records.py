"""The store's records on disk: one JSON file per image, one for all references. Written to a temporary name, renamed.

`images/<id's hex>.json`: {"schema": 1, "id", "layers": [diff_id, bottom first], "parent", "manifest", "hidden"}.
`images/references.json`: {"schema": 1, "references": {"docker.io/library/x:1": {"id", "at", "index"}}}; keys as
Reference.key; "index" is missing where the name points to an image of one platform.
The config itself is the blob that the id names.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmagent.durable import fsync_dir, publish
from vmagent.images.layer import hex_of
from vmagent.paths import DataRoot

SCHEMA = 1
REFERENCES = "references.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRecord:
    """`manifest`: digest of the manifest it was pulled with, kept as a blob. `hidden`: removed by force while in use;
    it goes when its last holder lets go."""

    id: str
    layers: tuple[str, ...]
    parent: str = ""
    manifest: str | None = None
    hidden: bool = False

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "id": self.id,
            "layers": list(self.layers),
            "parent": self.parent,
            "manifest": self.manifest,
            "hidden": self.hidden,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ImageRecord:
        """Raises KeyError, ValueError for a newer schema."""
        if data["schema"] != SCHEMA:
            raise ValueError(f"image record of schema {data['schema']}")
        return cls(
            id=data["id"],
            layers=tuple(data["layers"]),
            parent=data["parent"],
            manifest=data["manifest"],
            hidden=data["hidden"],
        )


@dataclass(frozen=True, slots=True)
class Target:
    """What a name is to point to: an image, which with `index` is that index's image for one platform."""

    image_id: str
    index: str = ""  # digest


@dataclass(frozen=True, slots=True)
class Pointer:
    """What a reference points to, and since when (RFC 3339). `index`: digest of the index, "" if it points to none;
    `id` is then the image of it that is meant where no platform is asked for."""

    id: str
    at: str
    index: str = ""


References = dict[str, Pointer]


def image_path(root: DataRoot, image_id: str) -> Path:
    return root.images / f"{hex_of(image_id)}.json"


def write_image(root: DataRoot, record: ImageRecord) -> None:
    """Durable when it returns. Raises OSError."""
    publish(image_path(root, record.id), json.dumps(record.to_json()).encode())


def delete_image(root: DataRoot, image_id: str) -> None:
    """Delete an image record, durably. Raises OSError."""
    image_path(root, image_id).unlink(missing_ok=True)
    fsync_dir(root.images)


def read_images(root: DataRoot) -> tuple[list[ImageRecord], list[str]]:
    """All image records, and a text for each that could not be read; those stay on disk."""
    records, problems = [], []
    for path in root.images.glob("*.json"):
        if path.name == REFERENCES:
            continue
        try:
            records.append(ImageRecord.from_json(json.loads(path.read_bytes())))
        except (ValueError, KeyError, TypeError) as e:
            problems.append(f"{path}: {e}")
    return records, problems


def write_references(root: DataRoot, references: References) -> None:
    """Durable when it returns. Raises OSError."""
    data = {
        key: {"id": pointer.id, "at": pointer.at, **({"index": pointer.index} if pointer.index else {})}
        for key, pointer in sorted(references.items())
    }
    publish(root.images / REFERENCES, json.dumps({"schema": SCHEMA, "references": data}).encode())


def read_references(root: DataRoot) -> References:
    """Raises OSError, ValueError, KeyError: references of a newer engine are not guessed at."""
    try:
        data = json.loads((root.images / REFERENCES).read_bytes())
    except FileNotFoundError:
        return {}
    if data["schema"] != SCHEMA:
        raise ValueError(f"references of schema {data['schema']}")
    return {key: Pointer(value["id"], value["at"], value.get("index", "")) for key, value in data["references"].items()}
