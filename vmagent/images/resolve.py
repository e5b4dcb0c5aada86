"""What a reference means at its registry: the manifest for a platform, the config it names, the layers' descriptors."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from vmagent.images import config as image_config
from vmagent.images.faults import ImageFault
from vmagent.images.ingest import Expected
from vmagent.images.platforms import INDEX_TYPES, Platform, choose
from vmagent.images.reference import Reference, is_digest
from vmagent.images.registry import MANIFEST_TYPES, Registry

_CONFIG_TYPES = frozenset(
    (
        "application/vnd.oci.image.config.v1+json",
        "application/vnd.docker.container.image.v1+json",
        "application/octet-stream",  # docker before 1.10 wrote this
    )
)
_MAX_LAYERS = 500  # overlayfs takes no more lowers


@dataclass(frozen=True, slots=True)
class Found:
    """An image's small parts, checked by digest. `digest` is of what the reference points to, index or manifest."""

    digest: str
    manifest: bytes
    config: bytes
    layers: list[tuple[Expected, str]]  # each with its diff_id, bottom first


def _json(data: bytes, what: str) -> dict[str, Any]:
    try:
        read = json.loads(data)
    except ValueError as e:
        raise ImageFault(f"{what} is no JSON: {e}", "invalid") from e
    if not isinstance(read, dict):
        raise ImageFault(f"{what} is no JSON object", "invalid")
    return read


def descriptor(data: Any, what: str) -> Expected:
    """A descriptor's digest and size: OCI image-spec, descriptor.md. Raises ImageFault."""
    if not isinstance(data, dict):
        raise ImageFault(f"{what} is no descriptor", "invalid")
    digest, size = data.get("digest"), data.get("size")
    if not isinstance(digest, str) or not is_digest(digest) or not isinstance(size, int) or size < 0:
        raise ImageFault(f"{what} has no sha256 digest and size", "invalid")
    return Expected(digest, size)


def find(registry: Registry, reference: Reference, wanted: Platform, *, is_asked: bool) -> Found:
    """Ask the registry. `is_asked`: the user named the platform, so another one will not do. Raises ImageFault."""
    data, digest = registry.manifest(reference.digest or str(reference.tag), reference.familiar)
    manifest = _json(data, "manifest")
    if manifest.get("mediaType") in INDEX_TYPES or "manifests" in manifest:
        entry = choose(manifest.get("manifests") or [], wanted)
        expected = descriptor(entry, "an entry of the index")
        data, _ = registry.manifest(expected.digest, reference.familiar)
        if len(data) != expected.size:
            raise ImageFault(f"manifest {expected.digest} has {len(data)} bytes, its index says {expected.size}")
        manifest = _json(data, "manifest")
    if manifest.get("schemaVersion") != 2 or manifest.get("mediaType", MANIFEST_TYPES[0]) not in MANIFEST_TYPES:
        raise ImageFault(
            f"unsupported manifest of schema {manifest.get('schemaVersion')}, type {manifest.get('mediaType')}",
            "not-implemented",
        )
    if (kind := (manifest.get("config") or {}).get("mediaType")) not in _CONFIG_TYPES:
        raise ImageFault(f"{reference.familiar} is no container image: its config is {kind}", "invalid")
    config = registry.small_blob(descriptor(manifest["config"], "the config"), image_config.MAX_CONFIG_BYTES)
    parsed = image_config.parse(config)
    diff_ids = image_config.diff_ids(parsed)
    blobs = [descriptor(layer, "a layer") for layer in manifest.get("layers") or []]
    if len(blobs) != len(diff_ids):
        raise ImageFault(f"invalid image: {len(blobs)} layers for {len(diff_ids)} diff_ids", "invalid")
    if len(blobs) > _MAX_LAYERS:
        raise ImageFault(f"max depth exceeded: {len(blobs)} layers, {_MAX_LAYERS} can be mounted", "invalid")
    actual = Platform.from_json(parsed)
    if is_asked and not actual.suits(wanted):
        raise ImageFault(
            f"image with reference {reference.familiar} was found but its platform ({actual}) "
            f"does not match the specified platform ({wanted})",
            "not-found",
        )
    return Found(digest, data, config, list(zip(blobs, diff_ids, strict=True)))
