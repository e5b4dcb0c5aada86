"""Manifests and indexes as they come from strangers: OCI image-spec, manifest.md, image-index.md, descriptor.md."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from vmagent.images import jsontext
from vmagent.images.faults import ImageFault
from vmagent.images.layer import Blob, Expected
from vmagent.images.reference import is_digest

CACHE_CONFIG_TYPE = "application/vnd.buildkit.cacheconfig.v0"  # the config of an exported build cache
MANIFEST_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)


def document(data: bytes, what: str) -> dict[str, Any]:
    """A JSON object. Raises ImageFault."""
    try:
        read = jsontext.loads(data)
    except (ValueError, RecursionError) as e:
        raise ImageFault(f"{what} is no JSON: {e}", "invalid") from e
    if not isinstance(read, dict):
        raise ImageFault(f"{what} is no JSON object", "invalid")
    return read


def objects(parent: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """The list of objects under `key`, empty if there is none. Raises ImageFault."""
    listed = parent.get(key) or []
    if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
        raise ImageFault(f"{key} is no list of objects", "invalid")
    return listed


def descriptor(data: Any, what: str) -> Expected:
    """A descriptor's digest and size: OCI image-spec, descriptor.md. Raises ImageFault."""
    if not isinstance(data, dict):
        raise ImageFault(f"{what} is no descriptor", "invalid")
    digest, size = data.get("digest"), data.get("size")
    if not isinstance(digest, str) or not is_digest(digest) or type(size) is not int or size < 0:
        raise ImageFault(f"{what} has no sha256 digest and size", "invalid")
    return Expected(digest, size)


def artifact_manifest(config: bytes, config_type: str, blobs: Sequence[Blob]) -> bytes:
    """A manifest in OCI's types with a config of any type, an image's or another: OCI image-spec, manifest.md."""
    made = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPES[0],
        "config": {
            "mediaType": config_type,
            "size": len(config),
            "digest": f"sha256:{hashlib.sha256(config).hexdigest()}",
        },
        "layers": [{"mediaType": one.media_type(), "size": one.size, "digest": one.digest} for one in blobs],
    }
    return json.dumps(made, indent=3).encode()
