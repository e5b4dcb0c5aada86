"""Checks an engine's image store and build cache on disk: every record has what it names, with the right digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from vmagent.images.layer import DIFF, TAR, Kind, Layer, hex_of
from vmagent.images.treetar import TreeTar

_BLOCK = 1 << 20


def faults(data_root: Path) -> list[str]:
    """What is wrong below the data root of an engine that does nothing just now."""
    found = [f"layer {folder.name}: {fault}" for folder in (data_root / "layers").iterdir() for fault in _layer(folder)]
    there = {f"sha256:{folder.name}" for folder in (data_root / "layers").iterdir()}
    for blob in (data_root / "blobs" / "sha256").iterdir():
        if _sha256(_file(blob)) != blob.name:
            found.append(f"blob {blob.name}: other content")
    images = data_root / "images"
    references = json.loads((images / "references.json").read_bytes())["references"].values()
    named = {one["id"] for one in references}
    for index in {one["index"] for one in references if "index" in one}:
        if not (data_root / "blobs" / "sha256" / hex_of(index)).exists():
            found.append(f"a name without its index: {index}")
    for path in images.glob("*.json"):
        if path.name == "references.json":
            continue
        record = json.loads(path.read_bytes())
        named.discard(record["id"])
        found += [f"image {record['id']}: no layer {layer}" for layer in record["layers"] if layer not in there]
        if not (data_root / "blobs" / "sha256" / hex_of(record["id"])).exists():
            found.append(f"image {record['id']}: no config")
    found += [f"a name without its image: {image}" for image in named]
    for path in (data_root / "builds" / "cache").iterdir():
        cached = json.loads(path.read_bytes())  # also fails for a temporary file
        if cached["layer"] and cached["layer"] not in there:
            found.append(f"cache record {path.name}: no layer {cached['layer']}")
    return found


def _layer(folder: Path) -> Iterator[str]:
    layer = Layer.read(folder)
    if hex_of(layer.diff_id) != folder.name:
        yield f"its record is of {layer.diff_id}"
    if layer.kind is Kind.TAR:
        content: Iterable[bytes] = _file(folder / TAR)
    elif layer.blob is None:
        content = TreeTar().blocks(str(folder / DIFF))
    else:
        if not (folder.parent.parent / "blobs" / "sha256" / hex_of(layer.blob.digest)).exists():
            yield f"no blob {layer.blob.digest}"
        return
    if _sha256(content) != folder.name:
        yield "other content"


def _file(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            yield block


def _sha256(blocks: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for block in blocks:
        digest.update(block)
    return digest.hexdigest()
