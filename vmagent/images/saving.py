"""`docker save`, in a worker: one tar that is both a docker archive and an OCI image layout, layers as plain tars.

OCI image-spec, image-layout.md; docker's manifest.json points into the same blobs. A layer of kind tar and what an
index names are sent as the files that they are, unread: their names in the archive are their digests, which whoever
loads it checks. Of a layer of kind dir, the kept blob is unpacked, or the tar made from the folder, and checked on the
way.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vmagent.images import config as image_config
from vmagent.images import tarwriter, views
from vmagent.images.compression import decompress
from vmagent.images.faults import ImageFault
from vmagent.images.indexes import OCI_INDEX, ImageIndex, Manifest
from vmagent.images.ingest import file_blocks
from vmagent.images.layer import DIFF, TAR, Kind, Layer, hex_of
from vmagent.images.outlet import Outlet
from vmagent.images.reference import Reference
from vmagent.images.tarstream import DIRECTORY
from vmagent.images.treetar import TreeTar
from vmagent.paths import DataRoot

_BLOBS = "blobs/sha256/"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"


def _kept_tar(data_root: DataRoot, layer: Layer) -> Path:
    return data_root.layers / hex_of(layer.diff_id) / TAR


def plain_tar(data_root: DataRoot, layer: Layer) -> Iterator[bytes]:
    """A layer's tar, byte for byte what its diff_id names. Raises ImageFault if the store's copy is damaged."""
    found = hashlib.sha256()
    if layer.kind is Kind.TAR:
        path = _kept_tar(data_root, layer)
    elif layer.blob is None:  # made by a build: its folder gives the tar
        path = None
    else:
        path = data_root.blobs / hex_of(layer.blob.digest)
    with contextlib.ExitStack() as stack:
        if path is None:
            blocks: Iterator[bytes] = TreeTar().blocks(str(data_root.layers / hex_of(layer.diff_id) / DIFF))
        else:
            blocks = file_blocks(stack.enter_context(path.open("rb", buffering=0)).fileno())
            if layer.kind is Kind.DIR and layer.blob is not None:
                blocks = decompress(layer.blob.compression, blocks)
        for block in blocks:
            found.update(block)
            yield block
    if f"sha256:{found.hexdigest()}" != layer.diff_id:
        raise ImageFault(f"layer {layer.diff_id} is damaged: its tar is sha256:{found.hexdigest()}")


class _Out:
    """The tar being written; each name is written once."""

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet
        self._names: set[str] = set()

    def folder(self, name: str) -> None:
        self._outlet.write(tarwriter.header(name, DIRECTORY, mode=0o755))

    def file(self, name: str, data: bytes) -> None:
        if self._begin(name, len(data)):
            self._outlet.write(data + tarwriter.padding(len(data)))

    def copy(self, name: str, size: int, path: Path) -> None:
        """A file of the store; `size`: what its record says."""
        with path.open("rb", buffering=0) as file:
            if (found := os.fstat(file.fileno()).st_size) != size:
                raise _wrong_size(name, found, size)
            if self._begin(name, size):
                self._outlet.file(file.fileno(), size)
                self._outlet.write(tarwriter.padding(size))

    def stream(self, name: str, size: int, blocks: Iterator[bytes]) -> None:
        if not self._begin(name, size):
            return
        sent = 0
        for block in blocks:
            sent += len(block)
            if sent > size:
                break
            self._outlet.write(block)
        if sent != size:
            raise _wrong_size(name, sent, size)
        self._outlet.write(tarwriter.padding(size))

    def blob(self, data: bytes) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        self.file(_BLOBS + digest, data)
        return {"digest": f"sha256:{digest}", "size": len(data)}

    def end(self) -> None:
        self._outlet.write(tarwriter.END)
        self._outlet.flush()

    def _begin(self, name: str, size: int) -> bool:
        """Write a member's header; False if the archive has it already."""
        if name in self._names:
            return False
        self._names.add(name)
        self._outlet.write(tarwriter.header(name, size=size))
        return True


def _wrong_size(name: str, found: int, size: int) -> ImageFault:
    return ImageFault(f"{name} has {found} bytes, its record says {size}")


def save(outlet: Outlet, data_root: DataRoot, items: Sequence[Mapping[str, Any]]) -> None:
    """Write `items`, each {"names": keys of references, "images": [{"id", "layers"}, …], "index",
    "manifests": [digest, …]}. Raises ImageFault, OSError.

    With "index", its digest, the index is written as it is kept, and of its manifests the given ones. Without it, one
    image gets a manifest for the tars of its layers, and several images such manifests and an index of them.
    """
    out = _Out(outlet)
    for folder in ("blobs", "blobs/sha256"):
        out.folder(folder)
    index: list[dict[str, Any]] = []
    entries: list[dict[str, Any]] = []
    for item in items:
        if item["index"]:
            descriptor = _kept_index(out, data_root, item["index"], item["manifests"])
            entries.append(_entry_of_kept(data_root, item))
        elif len(item["images"]) == 1 and not item.get("is_list"):
            [image] = item["images"]
            descriptor, entry = _image(out, data_root, image)
            entries.append({**entry, "RepoTags": [Reference.parse(name).familiar for name in item["names"]] or None})
        else:  # docker's own form has no indexes
            platforms = [_with_platform(_image(out, data_root, image)[0], data_root, image) for image in item["images"]]
            content = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": platforms}).encode()
            descriptor = {"mediaType": OCI_INDEX, **out.blob(content)}
        index += _named(descriptor, item["names"])
    out.file("index.json", json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": index}).encode())
    if entries:
        out.file("manifest.json", json.dumps(entries).encode())
    out.file("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
    out.end()


def _image(out: _Out, data_root: DataRoot, image: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """An image with its layers as plain tars: the descriptor of its manifest, its entry of manifest.json."""
    config = (data_root.blobs / hex_of(image["id"])).read_bytes()
    layers = [Layer.read(data_root.layers / hex_of(diff_id)) for diff_id in image["layers"]]
    for layer in layers:
        name = _BLOBS + hex_of(layer.diff_id)
        if layer.kind is Kind.TAR:
            out.copy(name, layer.tar_size, _kept_tar(data_root, layer))
        else:
            out.stream(name, layer.tar_size, plain_tar(data_root, layer))
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": {"mediaType": _CONFIG, **out.blob(config)},
        "layers": [{"mediaType": _LAYER, "digest": layer.diff_id, "size": layer.tar_size} for layer in layers],
    }
    entry = {"Config": _BLOBS + hex_of(image["id"]), "Layers": [_BLOBS + hex_of(layer.diff_id) for layer in layers]}
    return {"mediaType": _MANIFEST, **out.blob(json.dumps(manifest).encode())}, entry


def _with_platform(descriptor: Mapping[str, Any], data_root: DataRoot, image: Mapping[str, Any]) -> dict[str, Any]:
    parsed = image_config.parse((data_root.blobs / hex_of(image["id"])).read_bytes())
    return {**descriptor, "platform": views.platform(parsed)}


def _kept_index(out: _Out, data_root: DataRoot, digest: str, manifests: Sequence[str]) -> dict[str, Any]:
    """An index as it is kept, with these of its manifests and all their blobs; its descriptor."""
    data = (data_root.blobs / hex_of(digest)).read_bytes()
    for name in manifests:
        manifest = Manifest.parse((data_root.blobs / hex_of(name)).read_bytes(), name)
        for blob in (name, *manifest.blobs()):
            path = data_root.blobs / hex_of(blob)
            out.copy(_BLOBS + hex_of(blob), path.stat().st_size, path)
    return {"mediaType": ImageIndex.parse(data, digest).media_type, **out.blob(data)}


def _entry_of_kept(data_root: DataRoot, item: Mapping[str, Any]) -> dict[str, Any]:
    """For readers that know only docker's own form: the image that is first of "images"."""
    image = item["images"][0]
    manifest = Manifest.parse((data_root.blobs / hex_of(image["manifest"])).read_bytes(), image["manifest"])
    return {
        "Config": _BLOBS + hex_of(image["id"]),
        "RepoTags": [Reference.parse(name).familiar for name in item["names"]] or None,
        "Layers": [_BLOBS + hex_of(layer.digest) for layer in manifest.layers],
    }


def _named(descriptor: Mapping[str, Any], names: Sequence[str]) -> list[dict[str, Any]]:
    """A descriptor for index.json under each of its names."""
    tags = [
        {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name.rpartition(":")[2]}
        for name in names
    ]
    return [{**descriptor, "annotations": tag} for tag in tags] or [dict(descriptor)]
