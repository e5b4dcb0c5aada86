"""`docker save`, in a worker: one tar that is both a docker archive and an OCI image layout, layers as plain tars.

OCI image-spec, image-layout.md; docker's manifest.json points into the same blobs. Layers of kind tar are copied as
they are; of kind dir, the kept blob is unpacked, or the tar made from the folder, and checked again on the way.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vmagent.images import config as image_config
from vmagent.images import tarwriter, views
from vmagent.images.compression import decompress
from vmagent.images.faults import ImageFault
from vmagent.images.indexes import OCI_INDEX, ImageIndex, Manifest
from vmagent.images.ingest import file_blocks, write_all
from vmagent.images.layer import DIFF, TAR, Kind, Layer, hex_of
from vmagent.images.reference import Reference
from vmagent.images.tarstream import DIRECTORY
from vmagent.images.treetar import TreeTar
from vmagent.paths import DataRoot

_BLOBS = "blobs/sha256/"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"


def plain_tar(data_root: DataRoot, layer: Layer) -> Iterator[bytes]:
    """A layer's tar, byte for byte what its diff_id names. Raises ImageFault if the store's copy is damaged."""
    found = hashlib.sha256()
    if layer.kind is Kind.TAR:
        path = data_root.layers / hex_of(layer.diff_id) / TAR
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
    """The tar being written to `fd`; each name is written once."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._names: set[str] = set()

    def folder(self, name: str) -> None:
        write_all(self._fd, tarwriter.header(name, DIRECTORY, mode=0o755))

    def file(self, name: str, data: bytes) -> None:
        if name not in self._names:
            self._names.add(name)
            write_all(self._fd, tarwriter.header(name, size=len(data)) + data + tarwriter.padding(len(data)))

    def stream(self, name: str, size: int, blocks: Iterator[bytes]) -> None:
        if name in self._names:
            return
        self._names.add(name)
        write_all(self._fd, tarwriter.header(name, size=size))
        sent = 0
        for block in blocks:
            sent += len(block)
            if sent > size:
                break
            write_all(self._fd, block)
        if sent != size:
            raise ImageFault(f"{name} has {sent} bytes, its record says {size}")
        write_all(self._fd, tarwriter.padding(size))

    def blob(self, data: bytes) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        self.file(_BLOBS + digest, data)
        return {"digest": f"sha256:{digest}", "size": len(data)}

    def end(self) -> None:
        write_all(self._fd, tarwriter.END)


def save(fd: int, data_root: DataRoot, items: Sequence[Mapping[str, Any]]) -> None:
    """Write `items` to `fd`, each {"names": keys of references, "images": [{"id", "layers"}, …], "index",
    "manifests": [digest, …]}. Raises ImageFault, OSError.

    With "index", its digest, the index is written as it is kept, and of its manifests the given ones. Without it, one
    image gets a manifest for the tars of its layers, and several images such manifests and an index of them.
    """
    out = _Out(fd)
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
        out.stream(_BLOBS + hex_of(layer.diff_id), layer.tar_size, plain_tar(data_root, layer))
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
            with path.open("rb", buffering=0) as file:
                out.stream(_BLOBS + hex_of(blob), path.stat().st_size, file_blocks(file.fileno()))
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
