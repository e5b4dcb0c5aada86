"""The blob of a layer that has none yet: its tar, packed with gzip."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from vmagent.images.compression import Gzip
from vmagent.images.ingest import write_all
from vmagent.images.layer import Blob, Compression, Layer, hex_of
from vmagent.images.saving import plain_tar
from vmagent.paths import DataRoot


def pack(data_root: DataRoot, layer: Layer, into: Path) -> Blob:
    """Make the blob of a layer that has none, as file `into/<hex>`. Raises ImageFault, OSError."""
    into.mkdir(parents=True, exist_ok=True)
    made = into / f"packing-{hex_of(layer.diff_id)}"
    digest, size = hashlib.sha256(), 0

    def packed() -> Iterator[bytes]:
        packer = Gzip()
        for block in plain_tar(data_root, layer):
            yield from packer.write(block)
        yield packer.finish()

    with made.open("wb", buffering=0) as file:
        for block in packed():
            digest.update(block)
            size += len(block)
            write_all(file.fileno(), block)
        os.fdatasync(file.fileno())
    blob = Blob(f"sha256:{digest.hexdigest()}", size, Compression.GZIP)
    made.rename(into / hex_of(blob.digest))
    return blob
