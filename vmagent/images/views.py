"""Images in the Engine API's shapes: list, inspect, history. The newest version's; `api` trims for older ones."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from vmagent.images.config import Config, unix_seconds
from vmagent.images.indexes import EntryKind, Manifest
from vmagent.images.layer import Layer
from vmagent.images.records import ImageRecord, Pointer
from vmagent.images.reference import Reference

_ZERO_TIME = "0001-01-01T00:00:00Z"
# What a container's config holds where the image says nothing.
_CONFIG_DEFAULTS: dict[str, Any] = {
    "Hostname": "",
    "Domainname": "",
    "User": "",
    "AttachStdin": False,
    "AttachStdout": False,
    "AttachStderr": False,
    "Tty": False,
    "OpenStdin": False,
    "StdinOnce": False,
    "Env": None,
    "Cmd": None,
    "Image": "",
    "Volumes": None,
    "WorkingDir": "",
    "Entrypoint": None,
    "OnBuild": None,
    "Labels": None,
}


def chain_ids(layers: Iterable[str]) -> list[str]:
    """Names of the stacks that end with each layer: OCI image-spec, config.md, "Layer ChainID"."""
    chain: list[str] = []
    for diff_id in layers:
        chain.append(f"sha256:{hashlib.sha256(f'{chain[-1]} {diff_id}'.encode()).hexdigest()}" if chain else diff_id)
    return chain


@functools.lru_cache(maxsize=1024)
def _familiar(key: str) -> str:
    return Reference.parse(key).familiar


def names(references: Iterable[tuple[str, Pointer]]) -> tuple[list[str], list[str]]:
    """RepoTags and RepoDigests, as users know them."""
    tags: list[str] = []
    digests: list[str] = []
    for key, _ in references:
        (digests if "@" in key else tags).append(_familiar(key))
    return sorted(tags), sorted(digests)


def size(diff_ids: Iterable[str], layers: Mapping[str, Layer]) -> int:
    return sum(layers[diff_id].size for diff_id in diff_ids)


def platform(config: Config) -> dict[str, str]:
    """OCI image-spec, image-index.md, "platform", of an image's config."""
    return {key: str(config[key]) for key in ("architecture", "os", "variant") if config.get(key)}


def content_size(manifest: Manifest | None, kept: Collection[str]) -> int:
    """Bytes of a manifest and of those of its blobs that are kept as they are."""
    if manifest is None:
        return 0
    layers = sum(layer.size for layer in manifest.layers if layer.digest in kept)
    return manifest.size + manifest.config.size + layers


def manifest(
    descriptor: Mapping[str, Any], kind: EntryKind, *, is_here: bool, content: int, unpacked: int = 0
) -> dict[str, Any]:
    """Engine API, ImageManifestSummary, without what is of one kind only."""
    return {
        "ID": descriptor["digest"],
        "Descriptor": dict(descriptor),
        "Available": is_here,
        "Kind": str(kind),
        "Size": {"Content": content, "Total": content + unpacked},
    }


def summary(
    record: ImageRecord,
    config: Config,
    references: Sequence[tuple[str, Pointer]],
    *,
    size: int,
    shared_size: int,
    containers: int,
) -> dict[str, Any]:
    """Engine API, ImageSummary."""
    tags, digests = names(references)
    return {
        "Id": record.id,
        "ParentId": record.parent,
        "RepoTags": tags,
        "RepoDigests": digests,
        "Created": unix_seconds(config.get("created")),
        "Size": size,
        "SharedSize": shared_size,
        "Labels": (config.get("config") or {}).get("Labels"),
        "Containers": containers,
    }


def inspect(
    record: ImageRecord,
    config: Config,
    references: Sequence[tuple[str, Pointer]],
    layers: Mapping[str, Layer],
    lower_paths: Sequence[str],
) -> dict[str, Any]:
    """Engine API, ImageInspect."""
    tags, digests = names(references)
    history = config.get("history") or []
    tagged = max((pointer.at for _, pointer in references), default=_ZERO_TIME)
    graph: dict[str, str] = {}
    if lower_paths:
        graph["UpperDir"] = lower_paths[0]
        if len(lower_paths) > 1:
            graph["LowerDir"] = ":".join(lower_paths[1:])
    shape = {
        "Id": record.id,
        "RepoTags": tags,
        "RepoDigests": digests,
        "Parent": record.parent,
        "Comment": str(history[-1].get("comment") or "") if history else "",
        "Created": config.get("created") or _ZERO_TIME,
        "DockerVersion": str(config.get("docker_version") or ""),
        "Author": str(config.get("author") or ""),
        "Config": {**_CONFIG_DEFAULTS, **(config.get("config") or {})},
        "Architecture": str(config.get("architecture") or ""),
        "Os": str(config.get("os") or ""),
        "Size": size(record.layers, layers),
        "GraphDriver": {"Name": "overlay2", "Data": graph},
        "RootFS": {"Type": "layers", "Layers": list(record.layers)},
        "Metadata": {"LastTagTime": tagged},
    }
    if config.get("variant"):
        shape["Variant"] = config["variant"]
    return shape


def history(
    record: ImageRecord, config: Config, references: Sequence[tuple[str, Pointer]], layers: Mapping[str, Layer]
) -> list[dict[str, Any]]:
    """Engine API, ImageHistory: newest first; only the image itself has an id."""
    entries = list(config.get("history") or [])
    missing = len(record.layers) - sum(1 for entry in entries if not entry.get("empty_layer"))
    entries = [{} for _ in range(missing)] + entries  # an image need not have a complete history
    sizes = iter([layers[diff_id].size for diff_id in record.layers])
    shown: list[dict[str, Any]] = []
    for entry in entries:
        shown.append(
            {
                "Id": "<missing>",
                "Created": unix_seconds(entry.get("created")),
                "CreatedBy": str(entry.get("created_by") or ""),
                "Tags": None,
                "Size": 0 if entry.get("empty_layer") else next(sizes, 0),
                "Comment": str(entry.get("comment") or ""),
            }
        )
    shown.reverse()
    if shown:
        shown[0]["Id"] = record.id
        shown[0]["Tags"] = names(references)[0] or None
    return shown
