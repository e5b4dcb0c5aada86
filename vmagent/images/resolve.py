"""What a reference means at its registry: the manifest for a platform, the config it names, the layers' descriptors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vmagent.images import config as image_config
from vmagent.images.faults import ImageFault
from vmagent.images.indexes import OCI_INDEX, ImageIndex, is_index
from vmagent.images.layer import Expected
from vmagent.images.manifests import CACHE_CONFIG_TYPE, MANIFEST_TYPES, descriptor, document, objects
from vmagent.images.platforms import Platform, choose
from vmagent.images.reference import Reference
from vmagent.images.registry import Registry

_CONFIG_TYPES = frozenset(
    (
        "application/vnd.oci.image.config.v1+json",
        "application/vnd.docker.container.image.v1+json",
        "application/octet-stream",  # docker before 1.10 wrote this
    )
)
_OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_MAX_CACHE_CONFIG = 32 << 20  # bytes


@dataclass(frozen=True, slots=True)
class Found:
    """An image's small parts, checked by digest. `digest` is of what the reference points to, index or manifest;
    `index`: the index's bytes, None if it points to a manifest."""

    digest: str
    index: bytes | None
    manifest: bytes
    config: bytes
    layers: list[tuple[Expected, str]]  # each with its diff_id, bottom first


def describe(registry: Registry, reference: Reference) -> dict[str, Any]:
    """The API's DistributionInspect: what the reference points to, and the platforms that it has. Raises ImageFault."""
    data, digest = registry.manifest(reference.digest or str(reference.tag), reference.familiar)
    manifest = document(data, "manifest")
    if is_list := is_index(manifest):
        platforms = [entry["platform"] for entry in objects(manifest, "manifests") if "platform" in entry]
    else:
        expected = descriptor(manifest.get("config"), "the config")
        parsed = image_config.parse(registry.small_blob(expected, image_config.MAX_CONFIG_BYTES))
        platforms = [{key: parsed[key] for key in ("architecture", "os", "variant") if key in parsed}]
    kind = manifest.get("mediaType") or (OCI_INDEX if is_list else _OCI_MANIFEST)
    return {"Descriptor": {"mediaType": kind, "digest": digest, "size": len(data)}, "Platforms": platforms}


def find(registry: Registry, reference: Reference, wanted: Platform, *, is_asked: bool) -> Found:
    """Ask the registry. `is_asked`: the user named the platform, so another one will not do. Raises ImageFault."""
    data, digest = registry.manifest(reference.digest or str(reference.tag), reference.familiar)
    manifest = document(data, "manifest")
    index = None
    if is_index(manifest):
        index = data
        ImageIndex.parse(index, digest)  # every entry is sound, as the store reads it later
        entry = choose(objects(manifest, "manifests"), wanted)
        expected = descriptor(entry, "an entry of the index")
        data, _ = registry.manifest(expected.digest, reference.familiar)
        if len(data) != expected.size:
            raise ImageFault(f"manifest {expected.digest} has {len(data)} bytes, its index says {expected.size}")
        manifest = document(data, "manifest")
    if manifest.get("schemaVersion") != 2 or manifest.get("mediaType", MANIFEST_TYPES[0]) not in MANIFEST_TYPES:
        raise ImageFault(
            f"unsupported manifest of schema {manifest.get('schemaVersion')}, type {manifest.get('mediaType')}",
            "not-implemented",
        )
    named = manifest.get("config")
    expected = descriptor(named, "the config")
    if isinstance(named, dict) and (kind := named.get("mediaType")) not in _CONFIG_TYPES:
        raise ImageFault(f"{reference.familiar} is no container image: its config is {kind}", "invalid")
    config = registry.small_blob(expected, image_config.MAX_CONFIG_BYTES)
    parsed = image_config.parse(config)
    diff_ids = image_config.diff_ids(parsed)
    blobs = [descriptor(layer, "a layer") for layer in objects(manifest, "layers")]
    if len(blobs) != len(diff_ids):
        raise ImageFault(f"invalid image: {len(blobs)} layers for {len(diff_ids)} diff_ids", "invalid")
    actual = Platform.from_json(parsed)
    if actual.os not in ("", "linux"):
        raise ImageFault(
            f'cannot download image with operating system "{actual.os}" when requesting "linux"', "invalid"
        )
    if is_asked and not actual.suits(wanted):
        raise ImageFault(
            f"image with reference {reference.familiar} was found but its platform ({actual}) "
            f"does not match the specified platform ({wanted})",
            "not-found",
        )
    return Found(digest, index, data, config, list(zip(blobs, diff_ids, strict=True)))


@dataclass(frozen=True, slots=True)
class Artifact:
    """The parts of a manifest whose config need not be an image's."""

    config_type: str
    config: bytes
    layers: list[Expected]


def artifact(registry: Registry, reference: Reference, wanted: Platform) -> Artifact:
    """What a build may take its cache from: BuildKit's cache in one of its two forms, or an image of the platform
    `wanted`. Raises ImageFault."""
    data, _ = registry.manifest(reference.digest or str(reference.tag), reference.familiar)
    manifest = document(data, "manifest")
    listed = objects(manifest, "manifests")
    configs = [entry for entry in listed if entry.get("mediaType") == CACHE_CONFIG_TYPE]
    if configs:  # an index that lists the config among the blobs
        config = configs[0]
        layers = [descriptor(entry, "a layer") for entry in listed if entry is not config]
    else:
        if listed:
            chosen = descriptor(choose(listed, wanted), "an entry of the index")
            manifest = document(registry.manifest(chosen.digest, reference.familiar)[0], "manifest")
        config = manifest.get("config") or {}
        layers = [descriptor(layer, "a layer") for layer in objects(manifest, "layers")]
    content = registry.small_blob(descriptor(config, "the config"), _MAX_CACHE_CONFIG)
    return Artifact(str(config.get("mediaType")), content, layers)
