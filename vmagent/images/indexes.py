"""Manifests and indexes that the store keeps: what they name, and which of an index's platforms are here.

An index (OCI image-spec, image-index.md; docker's manifest list) is kept as the blob that its registry has. A platform
of it is here if its manifest is kept and the store has the image of the config that the manifest names. An attestation
(BuildKit, docs/attestations/attestation-storage.md) is kept with the manifest that it is about.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from vmagent.images.config import Config
from vmagent.images.faults import ImageFault
from vmagent.images.layer import Expected, hex_of
from vmagent.images.manifests import MANIFEST_TYPES, descriptor, document, objects
from vmagent.images.platforms import INDEX_TYPES, Platform, choose
from vmagent.images.records import ImageRecord, Pointer
from vmagent.images.roots import Reachable
from vmagent.paths import DataRoot

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
REFERENCE_TYPE = "vnd.docker.reference.type"  # annotations of an attestation's entry
REFERENCE_DIGEST = "vnd.docker.reference.digest"
ATTESTATION = "attestation-manifest"


class EntryKind(StrEnum):
    """Engine API, ImageManifestSummary, "Kind"."""

    IMAGE = "image"
    ATTESTATION = "attestation"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Manifest:
    """An image manifest: OCI image-spec, manifest.md."""

    digest: str
    size: int
    media_type: str
    config: Expected
    layers: tuple[Expected, ...]

    @classmethod
    def parse(cls, data: bytes, digest: str) -> Manifest:
        """Raises ImageFault."""
        read = document(data, "manifest")
        return cls(
            digest,
            len(data),
            str(read.get("mediaType") or MANIFEST_TYPES[0]),
            descriptor(read.get("config"), "the config"),
            tuple(descriptor(layer, "a layer") for layer in objects(read, "layers")),
        )

    def descriptor(self) -> dict[str, Any]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size}

    def blobs(self) -> Iterator[str]:
        yield self.config.digest
        for layer in self.layers:
            yield layer.digest


@dataclass(frozen=True, slots=True)
class Entry:
    """One manifest that an index lists."""

    digest: str
    size: int
    kind: EntryKind
    platform: Platform | None
    subject: str  # of an attestation: digest of the manifest that it is about
    raw: Mapping[str, Any]  # the descriptor as the index has it

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> Entry:
        """Raises ImageFault."""
        expected = descriptor(raw, "an entry of the index")
        annotations = raw.get("annotations")
        annotations = annotations if isinstance(annotations, dict) else {}
        platform = raw.get("platform")
        if platform is not None and not isinstance(platform, dict):
            raise ImageFault("the platform of an entry of the index is no object", "invalid")
        named = Platform.from_json(platform) if platform else None
        if annotations.get(REFERENCE_TYPE) == ATTESTATION:
            kind = EntryKind.ATTESTATION
        elif raw.get("mediaType", MANIFEST_TYPES[0]) not in MANIFEST_TYPES or (named and named.os == "unknown"):
            kind = EntryKind.UNKNOWN
        else:
            kind = EntryKind.IMAGE
        return cls(expected.digest, expected.size, kind, named, str(annotations.get(REFERENCE_DIGEST) or ""), dict(raw))


@dataclass(frozen=True, slots=True)
class ImageIndex:
    """An image index or manifest list."""

    digest: str
    size: int
    media_type: str
    entries: tuple[Entry, ...]

    @classmethod
    def parse(cls, data: bytes, digest: str) -> ImageIndex:
        """Raises ImageFault."""
        read = document(data, "index")
        entries = tuple(map(Entry.parse, objects(read, "manifests")))
        return cls(digest, len(data), str(read.get("mediaType") or OCI_INDEX), entries)

    def descriptor(self) -> dict[str, Any]:
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size}

    def images(self) -> Iterator[Entry]:
        return (entry for entry in self.entries if entry.kind is EntryKind.IMAGE)

    def attestations(self, manifest: str) -> Iterator[Entry]:
        """The entries about one of its manifests."""
        return (entry for entry in self.entries if entry.kind is EntryKind.ATTESTATION and entry.subject == manifest)


def is_index(manifest: Mapping[str, Any]) -> bool:
    """Whether what a registry or an archive has under a name is an index."""
    return manifest.get("mediaType") in INDEX_TYPES or "manifests" in manifest


@dataclass(frozen=True, slots=True)
class Kept:
    """What was read of the blobs."""

    indexes: dict[str, ImageIndex]
    manifests: dict[str, Manifest]
    problems: list[str]


def read_kept(root: DataRoot, indexes: Iterable[str], manifests: Iterable[str]) -> Kept:
    """Read these indexes with those of their manifests that are here, and further `manifests`, from the blobs."""
    kept = Kept({}, {}, [])
    wanted = set(manifests)
    for digest in indexes:
        try:
            kept.indexes[digest] = ImageIndex.parse((root.blobs / hex_of(digest)).read_bytes(), digest)
        except (OSError, ImageFault) as e:
            kept.problems.append(f"index {digest}: {e}")
            continue
        wanted.update(entry.digest for entry in kept.indexes[digest].entries if entry.kind is not EntryKind.UNKNOWN)
    here = set(os.listdir(root.blobs)) if wanted else ()  # most platforms of an index are not
    for digest in wanted:
        if (name := hex_of(digest)) not in here:
            continue
        try:
            kept.manifests[digest] = Manifest.parse((root.blobs / name).read_bytes(), digest)
        except (OSError, ImageFault) as e:
            kept.problems.append(f"manifest {digest}: {e}")
    return kept


class Indexes:
    """The indexes that names point to, beside the store's images, which may change between calls."""

    def __init__(self, images: Mapping[str, ImageRecord], configs: Mapping[str, Config]) -> None:
        self._images, self._configs = images, configs
        self.known: dict[str, ImageIndex] = {}
        self.manifests: dict[str, Manifest] = {}

    def clear(self) -> None:
        self.known.clear()
        self.manifests.clear()

    def take(self, kept: Kept) -> None:
        self.known.update(kept.indexes)
        self.manifests.update(kept.manifests)

    # --- questions

    def image_of(self, entry: Entry) -> str:
        """The id of an entry's image; "" if it is not here."""
        manifest = self.manifests.get(entry.digest)
        if entry.kind is not EntryKind.IMAGE or manifest is None:
            return ""
        record = self._images.get(manifest.config.digest)
        return "" if record is None or record.hidden else record.id

    def is_here(self, index: ImageIndex, entry: Entry) -> bool:
        """Whether the content of an entry is in the store."""
        if entry.digest not in self.manifests:
            return False
        if entry.kind is EntryKind.ATTESTATION:
            return any(self.image_of(other) for other in index.images() if other.digest == entry.subject)
        return bool(self.image_of(entry))

    def present(self, digest: str) -> list[tuple[Entry, str]]:
        """The entries of an index whose images are here, each with its image's id."""
        if (index := self.known.get(digest)) is None:
            return []
        return [(entry, image_id) for entry in index.images() if (image_id := self.image_of(entry))]

    def is_whole(self, digest: str) -> bool:
        """Whether everything that an index lists is here."""
        index = self.known[digest]
        return all(self.is_here(index, entry) for entry in index.entries)

    def chosen(self, digest: str, wanted: Platform) -> tuple[Entry, str] | None:
        """The entry, and its image's id, that a machine of this platform runs; None if there is none here."""
        present = self.present(digest)
        candidates = [
            {"platform": entry.raw.get("platform") or self._configs[image_id], "number": number}
            for number, (entry, image_id) in enumerate(present)
        ]
        try:
            return present[int(choose(candidates, wanted)["number"])]
        except ImageFault:
            return None

    def best(self, digest: str) -> str:
        """The id of the image that is meant where no platform is asked for: this machine's, else any; "" for none."""
        present = self.present(digest)
        if not present:
            return ""
        found = self.chosen(digest, Platform.host())
        return found[1] if found else present[0][1]

    def naming(self, image_id: str) -> list[str]:
        """The indexes that have this image."""
        return [digest for digest in self.known if any(one == image_id for _, one in self.present(digest))]

    def beneath(self, references: Iterable[Pointer]) -> set[str]:
        """Images that are here only as further platforms of a name."""
        found = {image_id for digest in self.known for _, image_id in self.present(digest)}
        return found - {pointer.id for pointer in references}

    # --- what stays

    def keep_only(self, named: set[str]) -> list[str]:
        """Forget the indexes that no name points to any more; the digests of the blobs that they had."""
        left: list[str] = []
        for digest in set(self.known) - named:
            left.append(digest)
            for entry in self.known.pop(digest).entries:
                left += self._blobs(entry)
        return left

    def blobs_about(self, image_id: str) -> list[str]:
        """Blobs that are here only because an index lists this image."""
        found: list[str] = []
        for index in self.known.values():
            for entry in index.images():
                manifest = self.manifests.get(entry.digest)
                if manifest is not None and manifest.config.digest == image_id:
                    for one in (entry, *index.attestations(entry.digest)):
                        found += self._blobs(one)
        return found

    def _blobs(self, entry: Entry) -> list[str]:
        """The blobs that an entry brought and no image record names."""
        if (manifest := self.manifests.get(entry.digest)) is None:
            return []
        return [entry.digest, *(manifest.blobs() if entry.kind is EntryKind.ATTESTATION else ())]

    def parts(self, index: str, manifests: Iterable[str]) -> Iterator[str]:
        """The blobs that a copy of an index ("": none) with these of its manifests is made of."""
        if index:
            yield index
        for digest in manifests:
            yield digest
            yield from self.manifests[digest].blobs()

    def blobs_of(self, digest: str) -> Iterator[str]:
        """The index, and the manifests of what is here of it."""
        index = self.known[digest]
        yield digest
        for entry in index.entries:
            if self.is_here(index, entry):
                yield from self._blobs(entry)

    def let_go(self, digests: Iterable[str]) -> None:
        """These blobs have gone."""
        for digest in digests:
            self.manifests.pop(digest, None)

    def reachable(self) -> Reachable:
        """The indexes, and the manifests of what is here of them."""
        blobs: list[str] = []
        for digest in self.known:
            blobs += self.blobs_of(digest)
        return Reachable.of((), blobs)
