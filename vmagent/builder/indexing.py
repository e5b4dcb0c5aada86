"""A build's images as one image index in the store: of several platforms, or with attestations.

The index and its manifests are as BuildKit's image exporter writes them, in OCI's types. An attestation is a manifest
of in-toto statements, whose entry names the image's manifest (BuildKit, docs/attestations/attestation-storage.md).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vmagent.builder import remotecache
from vmagent.builder.result import BuiltImage
from vmagent.images import config as image_config
from vmagent.images import views
from vmagent.images.indexes import ATTESTATION, OCI_INDEX, REFERENCE_DIGEST, REFERENCE_TYPE
from vmagent.images.layer import Blob
from vmagent.images.manifests import MANIFEST_TYPES, artifact_manifest
from vmagent.images.records import ImageRecord, Target
from vmagent.images.reference import Reference
from vmagent.images.store import Store

if TYPE_CHECKING:
    from vmagent.images.ingest import Job

_CONFIG = "application/vnd.oci.image.config.v1+json"
_STATEMENT = "application/vnd.in-toto+json"
# What is to be said of an image, by the digest of its manifest: statements by the type of their predicates.
Attest = Callable[[BuiltImage, str], Mapping[str, bytes]]


@dataclass(frozen=True, slots=True)
class StoredIndex:
    """An index in the store. `image_id` is that of the image for this machine, or of its first one."""

    digest: str
    size: int
    image_id: str

    def descriptor(self) -> dict[str, Any]:
        return {"mediaType": OCI_INDEX, "digest": self.digest, "size": self.size}


async def store_index(
    store: Store, images: Sequence[BuiltImage], names: Sequence[str], attest: Attest | None
) -> StoredIndex:
    """Make `images`, whose layers the caller keeps, an index of the store with `names`. Raises BadRequest, EngineError.

    Without names, the images are left in the store, but no index.
    """
    references = [Reference.parse(name).with_default_tag() for name in names]
    layers = list(dict.fromkeys(layer for image in images for layer in image.layers))
    blobs = await remotecache.packed(store, layers)
    async with store.ingest() as folder:
        made = await asyncio.to_thread(_write, folder, store, images, blobs, attest, is_named=bool(references))
        targets = {one.key: Target(made.records[0].id, made.digest) for one in references}
        await store.publish(folder, made.records, targets)
    image_id = store.indexes.best(made.digest) or made.records[0].id
    for one in references:
        store.emit("tag", image_id, one.familiar)
    return StoredIndex(made.digest, made.size, image_id)


@dataclass(frozen=True, slots=True)
class _Written:
    digest: str
    size: int
    records: list[ImageRecord]


def _write(
    folder: Path,
    store: Store,
    images: Sequence[BuiltImage],
    blobs: Mapping[str, Blob],
    attest: Attest | None,
    *,
    is_named: bool,
) -> _Written:
    """Put the small parts into the job's folder, flushed. The index and the attestations, which no image names, only if
    a name will point to them."""
    records: list[ImageRecord] = []
    entries: list[dict[str, Any]] = []
    attestations: list[dict[str, Any]] = []
    from vmagent.images.ingest import Job  # here: it loads what compresses, which an engine without builds never needs

    with contextlib.closing(Job(folder, store.kind)) as work:
        for image in images:
            config = image_config.dump(dict(image.config))
            image_id = work.put_blob(config)
            data = artifact_manifest(config, _CONFIG, [blobs[layer] for layer in image.layers])
            manifest = work.put_blob(data)
            records.append(ImageRecord(id=image_id, layers=image.layers, manifest=manifest))
            entry = {"mediaType": MANIFEST_TYPES[0], "digest": manifest, "size": len(data)}
            entries.append({**entry, "platform": views.platform(dict(image.config))})
            if is_named and attest is not None and (statements := attest(image, manifest)):
                attestations.append(_attestation(work, manifest, statements))
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [*entries, *attestations]}
        content = json.dumps(index, indent=2).encode()
        digest = work.put_blob(content) if is_named else f"sha256:{hashlib.sha256(content).hexdigest()}"
        work.flush()
    return _Written(digest, len(content), records)


def _attestation(work: Job, subject: str, statements: Mapping[str, bytes]) -> dict[str, Any]:
    """Keep the statements about a manifest; the entry of the index."""
    diff_ids = [f"sha256:{hashlib.sha256(data).hexdigest()}" for data in statements.values()]
    config = json.dumps(
        {
            "architecture": "unknown",
            "os": "unknown",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        }
    ).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPES[0],
        "config": {"mediaType": _CONFIG, "digest": work.put_blob(config), "size": len(config)},
        "layers": [
            {
                "mediaType": _STATEMENT,
                "digest": work.put_blob(data),
                "size": len(data),
                "annotations": {"in-toto.io/predicate-type": predicate},
            }
            for predicate, data in statements.items()
        ],
    }
    content = json.dumps(manifest, indent=2).encode()
    return {
        "mediaType": MANIFEST_TYPES[0],
        "digest": work.put_blob(content),
        "size": len(content),
        "annotations": {REFERENCE_DIGEST: subject, REFERENCE_TYPE: ATTESTATION},
        "platform": {"architecture": "unknown", "os": "unknown"},
    }
