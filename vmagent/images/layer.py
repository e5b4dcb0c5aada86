"""What the store keeps of a layer: one folder `layers/<diff_id's hex>/` with the record and its content.

`layer.json` is {"schema": 1, "kind", "diff_id", "size", "tar_size", "blob": {"digest", "size", "compression"} | null}.
Kind `dir`: folder `diff`, a lower of an overlay as it stands; its tar can be had from the blob. Kind `tar`: the tar
itself as `layer.tar` with an EROFS index `layer.erofs` beside it; nothing is unpacked, the blob is optional.

The record of a layer whose content may not be on the disk yet is `layer.json.unflushed`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

SCHEMA = 1
RECORD = "layer.json"
UNFLUSHED = "layer.json.unflushed"
DIFF = "diff"
TAR = "layer.tar"
INDEX = "layer.erofs"

T = TypeVar("T")


class Compression(StrEnum):
    NONE = "none"
    GZIP = "gzip"
    ZSTD = "zstd"
    BZIP2 = "bzip2"
    XZ = "xz"


class Kind(StrEnum):
    DIR = "dir"
    TAR = "tar"


def hex_of(digest: str) -> str:
    """The file name of `sha256:…`."""
    return digest.removeprefix("sha256:")


def top_first(diff_ids: Iterable[str]) -> list[str]:
    """The layers of a stack given bottom first, topmost first and each once, as overlayfs needs its lower folders.

    An image may name a layer several times; overlayfs refuses a folder that is listed twice (ELOOP). The topmost
    occurrence is the one to keep: what a lower occurrence shows or hides, the upper one shows or hides as well.
    """
    return list(dict.fromkeys(reversed(list(diff_ids))))


@dataclass(frozen=True, slots=True)
class Expected:
    """Digest and size of a blob, from its manifest."""

    digest: str
    size: int


def _field(data: Any, name: str, kind: type[T]) -> T:
    """`data[name]`. Raises ValueError if `data` is no object, or has nothing of that type there."""
    if not isinstance(data, dict) or not isinstance(value := data.get(name), kind):
        raise ValueError(f"{name} of a layer's record is missing, or of another type")
    return value


@dataclass(frozen=True, slots=True)
class Blob:
    """A layer as registries carry it; lies in blobs/sha256."""

    digest: str
    size: int
    compression: Compression

    def to_json(self) -> dict[str, Any]:
        return {"digest": self.digest, "size": self.size, "compression": str(self.compression)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Blob:
        """Raises ValueError."""
        digest, size = _field(data, "digest", str), _field(data, "size", int)
        return cls(digest, size, Compression(_field(data, "compression", str)))

    def media_type(self) -> str:
        """OCI image-spec, layer.md, "+gzip Media Types", "+zstd Media Types"."""
        base = "application/vnd.oci.image.layer.v1.tar"
        return base if self.compression is Compression.NONE else f"{base}+{self.compression}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    diff_id: str
    kind: Kind
    size: int  # bytes of its regular files
    tar_size: int
    blob: Blob | None

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "kind": str(self.kind),
            "diff_id": self.diff_id,
            "size": self.size,
            "tar_size": self.tar_size,
            "blob": None if self.blob is None else self.blob.to_json(),
        }

    @classmethod
    def from_json(cls, data: Any) -> Layer:
        """Raises ValueError for what is not a layer, or of a newer schema."""
        if (schema := _field(data, "schema", int)) != SCHEMA:
            raise ValueError(f"layer record of schema {schema}")
        blob = data.get("blob")
        return cls(
            diff_id=_field(data, "diff_id", str),
            kind=Kind(_field(data, "kind", str)),
            size=_field(data, "size", int),
            tar_size=_field(data, "tar_size", int),
            blob=None if blob is None else Blob.from_json(blob),
        )

    @classmethod
    def read(cls, folder: Path) -> Layer:
        """The record in `folder`, which has the layer's name; flushed or not. Raises OSError, ValueError."""
        try:
            data = (folder / RECORD).read_bytes()
        except FileNotFoundError:
            try:
                data = (folder / UNFLUSHED).read_bytes()
            except FileNotFoundError:
                data = (folder / RECORD).read_bytes()  # it may have been flushed meanwhile
        try:
            layer = cls.from_json(json.loads(data))
        except RecursionError as e:
            raise ValueError("a record with lists in lists") from e
        if hex_of(layer.diff_id) != folder.name:
            raise ValueError(f"the record is of layer {layer.diff_id}")
        return layer

    @classmethod
    def find(cls, folder: Path) -> Layer | None:
        """As `read`; None if there is no record that can be read."""
        try:
            return cls.read(folder)
        except (OSError, ValueError):
            return None

    def write(self, folder: Path, name: str = RECORD) -> None:
        """Put the record into `folder`; the caller flushes."""
        (folder / name).write_text(json.dumps(self.to_json()))
