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
from vmagent.images import tarwriter
from vmagent.images.compression import decompress
from vmagent.images.faults import ImageFault
from vmagent.images.ingest import file_blocks, write_all
from vmagent.images.layer import DIFF, TAR, Kind, Layer, hex_of
from vmagent.images.reference import Reference
from vmagent.images.tarstream import DIRECTORY
from vmagent.images.treetar import TreeTar
from vmagent.paths import DataRoot

_BLOBS = "blobs/sha256/"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"
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


def save(
    fd: int, data_root: DataRoot, images: Sequence[Mapping[str, Any]], index_names: Sequence[str] | None = None
) -> None:
    """Write `images` ({"id", "layers", "names": keys of references}) to `fd`. Raises ImageFault, OSError.

    `index_names`: the images are the platforms of one image index, which has these names.
    """
    out = _Out(fd)
    for folder in ("blobs", "blobs/sha256"):
        out.folder(folder)
    index: list[dict[str, Any]] = []
    platforms: list[dict[str, Any]] = []
    entries: list[dict[str, Any]] = []
    for image in images:
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
        descriptor = {"mediaType": _MANIFEST, **out.blob(json.dumps(manifest).encode())}
        parsed = image_config.parse(config)
        platform = {key: parsed[key] for key in ("architecture", "os", "variant") if parsed.get(key)}
        platforms.append({**descriptor, "platform": platform})
        index += _named(descriptor, image["names"])
        entries.append(
            {
                "Config": _BLOBS + hex_of(image["id"]),
                "RepoTags": [Reference.parse(name).familiar for name in image["names"]] or None,
                "Layers": [_BLOBS + hex_of(layer.diff_id) for layer in layers],
            }
        )
    if index_names is not None:
        content = json.dumps({"schemaVersion": 2, "mediaType": _INDEX, "manifests": platforms}).encode()
        index = _named({"mediaType": _INDEX, **out.blob(content)}, index_names)
    out.file("index.json", json.dumps({"schemaVersion": 2, "mediaType": _INDEX, "manifests": index}).encode())
    if index_names is None:  # docker's own form has no indexes
        out.file("manifest.json", json.dumps(entries).encode())
    out.file("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
    out.end()


def _named(descriptor: Mapping[str, Any], names: Sequence[str]) -> list[dict[str, Any]]:
    """A descriptor for index.json under each of its names."""
    tags = [
        {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name.rpartition(":")[2]}
        for name in names
    ]
    return [{**descriptor, "annotations": tag} for tag in tags] or [dict(descriptor)]
