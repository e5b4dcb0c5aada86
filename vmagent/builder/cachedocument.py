"""A build cache as it travels: which step made which layer. Pure values; no input or output.

The form is BuildKit's (cache/remotecache/v1/doc.go): a config of `layers`, each with its blob and diff_id, and
`records`, each with a key and the number of its layer. Keys are those of `builder.cache`, so a cache that BuildKit
wrote holds no step of ours and the reverse. What the form has no place for is in a field `cove` of each record.
An image holds the records alone, in a field of its config; their layers are the image's own.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vmagent.builder.cache import CacheRecord
from vmagent.images.layer import Blob
from vmagent.images.reference import is_digest

INLINE = "moby.buildkit.cache.v0"  # the field of an image's config
_MAX_TIME_NS = 1 << 62
_KEY = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedStep:
    """A step of an imported cache. `layer`: its diff_id; `blob`, `blob_size`: what to fetch."""

    key: str
    layer: str
    blob: str
    blob_size: int
    description: str
    created_ns: int


def document(records: Sequence[CacheRecord], blobs: Mapping[str, Blob]) -> bytes:
    """The config of a cache with these steps; `blobs` by diff_id, in the order in which the manifest lists them."""
    numbers = {diff_id: number for number, diff_id in enumerate(blobs)}
    layers = [
        {
            "blob": blob.digest,
            "parent": -1,
            "annotations": {"mediaType": blob.media_type(), "diffID": diff_id, "size": blob.size},
        }
        for diff_id, blob in blobs.items()
    ]
    return json.dumps({"layers": layers, "records": _records(records, numbers)}).encode()


def steps(config: str) -> list[CachedStep]:
    """The steps of such a config. Raises ValueError."""
    data = _object(json.loads(config))
    layers = []
    for layer in _objects(data, "layers"):
        said = _object(layer.get("annotations"))
        layers.append((said.get("diffID"), layer.get("blob"), said.get("size")))
    return _steps(_objects(data, "records"), layers)


def with_inline(config: Mapping[str, Any], layers: Sequence[str], records: Sequence[CacheRecord]) -> dict[str, Any]:
    """The image's config with the steps that made its layers."""
    numbers = {diff_id: number for number, diff_id in enumerate(layers)}
    kept = [record for record in records if record.layer in numbers]
    return {**config, INLINE: base64.b64encode(json.dumps(_records(kept, numbers)).encode()).decode()}


def inline_steps(config: str, blobs: Sequence[tuple[str, int]]) -> list[CachedStep]:
    """The steps that an image's config holds; `blobs`: digests and sizes of its layers. Raises ValueError."""
    data = _object(json.loads(config))
    text = data.get(INLINE)
    if text is None:
        return []
    diff_ids = _object(data.get("rootfs")).get("diff_ids")
    if not isinstance(text, str) or not isinstance(diff_ids, list) or len(diff_ids) != len(blobs):
        raise ValueError("invalid inline cache")
    try:
        listed = json.loads(base64.b64decode(text))
    except binascii.Error as e:
        raise ValueError(f"invalid inline cache: {e}") from e
    layers = [(diff_id, digest, size) for diff_id, (digest, size) in zip(diff_ids, blobs, strict=True)]
    return _steps(_objects({"records": listed}, "records"), layers)


def _records(records: Iterable[CacheRecord], numbers: Mapping[str, int]) -> list[dict[str, Any]]:
    return [
        {
            "digest": f"sha256:{record.key}",
            "layers": [{"layer": numbers[record.layer], "createdAt": record.created}],
            "cove": {"created_ns": record.created_ns, "description": record.description},
        }
        for record in sorted(records, key=lambda one: one.key)
    ]


def _steps(records: Iterable[Mapping[str, Any]], layers: Sequence[tuple[Any, Any, Any]]) -> list[CachedStep]:
    found = []
    for record in records:
        if "cove" not in record:
            continue  # BuildKit's
        own, results = _object(record["cove"]), _objects(record, "layers")
        key = str(record.get("digest")).removeprefix("sha256:")
        number = results[0].get("layer") if results else None
        if _KEY.fullmatch(key) is None or not isinstance(number, int) or not 0 <= number < len(layers):
            raise ValueError("invalid record of a cache")
        diff_id, blob, size = layers[number]
        created_ns, description = own.get("created_ns"), own.get("description")
        if (
            not (isinstance(diff_id, str) and is_digest(diff_id) and isinstance(blob, str) and is_digest(blob))
            or not (isinstance(size, int) and isinstance(created_ns, int) and isinstance(description, str))
            or not 0 <= created_ns < _MAX_TIME_NS
        ):
            raise ValueError("invalid record of a cache")
        found.append(
            CachedStep(
                key=key, layer=diff_id, blob=blob, blob_size=size, description=description, created_ns=created_ns
            )
        )
    return found


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("no object where the form of a cache has one")
    return value


def _objects(parent: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    listed = parent.get(key) or []
    if not isinstance(listed, list):
        raise ValueError(f"{key} of a cache is no list")
    return [_object(one) for one in listed]
