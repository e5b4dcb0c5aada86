"""Pushing from a worker: blobs that the registry lacks, then the manifest. distribution-spec, "Push"."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

from vmagent.images.indexes import OCI_INDEX, is_index
from vmagent.images.layer import Blob, Compression, hex_of
from vmagent.images.registry import BLOCK, TRIES, ConnectionBroken, Registry
from vmagent.paths import DataRoot

_DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
_DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
_OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OnSent = Callable[[int, int], None]  # bytes so far, bytes in all


class _Upload:
    """A file as a request body: of known length, read in large blocks, each reported to `on_sent`."""

    def __init__(self, path: Path, on_sent: OnSent) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._size = os.fstat(self._fd).st_size
        self._sent = 0
        self._on_sent = on_sent

    def __len__(self) -> int:
        return self._size

    def read(self, _size: int = -1) -> bytes:
        block = os.read(self._fd, BLOCK)
        self._sent += len(block)
        if block:
            self._on_sent(self._sent, self._size)
        return block

    def close(self) -> None:
        os.close(self._fd)


def push_blob(registry: Registry, path: Path, digest: str, sources: Sequence[str], on_sent: OnSent) -> str:
    """Have blob `digest`, the file `path`, at the registry: "exists", "pushed", or the one of `sources` that it was
    mounted from. Begins anew where the connection broke. Raises ImageFault."""
    return _through(lambda: _push_blob(registry, path, digest, sources, on_sent))


def _through(call: Callable[[], str]) -> str:
    """What `call` returns, which is called again if the connection broke. Raises ImageFault."""
    for failures in range(TRIES - 1):
        try:
            return call()
        except ConnectionBroken:
            time.sleep(0.1 * 3**failures)
    return call()


def _push_blob(registry: Registry, path: Path, digest: str, sources: Sequence[str], on_sent: OnSent) -> str:
    head = registry.request("HEAD", f"blobs/{digest}", expect=(200, 404), doing=f"blob {digest}")
    head.close()
    if head.status_code == 200:
        return "exists"
    for source in sources:
        query = urlencode({"mount": digest, "from": source})
        answer = registry.request("POST", f"blobs/uploads/?{query}", expect=(201, 202), doing="upload")
        answer.close()
        if answer.status_code == 201:
            return source
        _put(registry, answer, path, digest, on_sent)
        return "pushed"
    answer = registry.request("POST", "blobs/uploads/", expect=(202,), doing="upload")
    answer.close()
    _put(registry, answer, path, digest, on_sent)
    return "pushed"


def _put(registry: Registry, answer: Any, path: Path, digest: str, on_sent: OnSent) -> None:
    where = urlsplit(urljoin(answer.url, answer.headers.get("Location", "")))
    query = urlencode([*parse_qsl(where.query, keep_blank_values=True), ("digest", digest)])
    uploads: list[_Upload] = []

    def body() -> _Upload:
        uploads.append(_Upload(path, on_sent))
        return uploads[-1]

    try:
        registry.request(
            "PUT",
            urlunsplit(where._replace(query=query)),
            headers={"Content-Type": "application/octet-stream"},
            body=body,
            expect=(201, 204),
            doing=f"upload of {digest}",
        ).close()
    finally:
        for upload in uploads:
            upload.close()


def manifest_of(config: bytes, blobs: Sequence[Blob]) -> bytes:
    """A manifest in docker's types, which every registry takes; in OCI's where a layer is not gzip."""
    is_docker = all(blob.compression is Compression.GZIP for blob in blobs)
    made = {
        "schemaVersion": 2,
        "mediaType": _DOCKER_MANIFEST if is_docker else _OCI_MANIFEST,
        "config": {
            "mediaType": _DOCKER_CONFIG if is_docker else _OCI_CONFIG,
            "size": len(config),
            "digest": f"sha256:{hashlib.sha256(config).hexdigest()}",
        },
        "layers": [
            {
                "mediaType": _DOCKER_LAYER if is_docker else blob.media_type(),
                "size": blob.size,
                "digest": blob.digest,
            }
            for blob in blobs
        ],
    }
    return json.dumps(made, indent=3).encode()


def kept_manifest(data_root: DataRoot, digest: str | None, blobs: Sequence[Blob]) -> bytes | None:
    """The manifest that an image was pulled with, if it names the very blobs that are there now."""
    if digest is None:
        return None
    try:
        data = (data_root.blobs / hex_of(digest)).read_bytes()
    except FileNotFoundError:
        return None
    named = [layer.get("digest") for layer in json.loads(data).get("layers") or []]
    return data if named == [blob.digest for blob in blobs] else None


def push_manifest(registry: Registry, data: bytes, tag: str) -> str:
    """Put a manifest or index under `tag`, which may be its digest; its digest. Raises ImageFault."""
    read = json.loads(data)
    kind = read.get("mediaType") or (OCI_INDEX if is_index(read) else _OCI_MANIFEST)

    def put() -> str:
        registry.request(
            "PUT", f"manifests/{tag}", headers={"Content-Type": kind}, body=data, expect=(201,), doing=f"manifest {tag}"
        ).close()
        return f"sha256:{hashlib.sha256(data).hexdigest()}"

    return _through(put)
