"""Which image a reference, an id, or the beginning of one, means: Engine API facts, "Names, IDs, references"."""

from __future__ import annotations

from collections.abc import Mapping

from vmagent.errors import BadRequest, NotFound
from vmagent.images.indexes import Indexes
from vmagent.images.layer import hex_of
from vmagent.images.records import ImageRecord, Pointer
from vmagent.images.reference import Reference, is_digest

_HEX = frozenset("0123456789abcdef")
Images = Mapping[str, ImageRecord]


def find(ref: str, images: Images, references: Mapping[str, Pointer], indexes: Indexes) -> tuple[str, str | None]:
    """Id of the image, and the key of the reference if it was named by one. Of an index, the image that is meant where
    no platform is asked for. Digests of manifests and indexes, which lists show, stand for their images.

    Raises NotFound `No such image: …`, BadRequest for an invalid reference or an ambiguous prefix.
    """
    plain = ref.removeprefix("sha256:")
    if len(plain) == 64 and set(plain) <= _HEX:
        image_id = f"sha256:{plain}"
        if image_id in images and not images[image_id].hidden:
            return image_id, None
        if found := _by_digest(plain, images, references, indexes):
            return min(found), None
        raise NotFound(f"No such image: {ref}")
    shown = ref
    try:
        reference = Reference.parse(ref).with_default_tag()
    except BadRequest:
        if not is_digest(f"sha256:{plain.ljust(64, '0')}"):
            raise
    else:
        shown = reference.familiar
        if (pointer := references.get(reference.key)) is not None:
            return pointer.id, reference.key
    if plain and set(plain) <= _HEX:
        found = {one.id for one in images.values() if not one.hidden and hex_of(one.id).startswith(plain)}
        found = found or _by_digest(plain, images, references, indexes)
        if len(found) > 1:
            raise BadRequest(f"multiple IDs found with provided prefix: {ref}")
        if found:
            return found.pop(), None
    raise NotFound(f"No such image: {shown}")


def _by_digest(plain: str, images: Images, references: Mapping[str, Pointer], indexes: Indexes) -> set[str]:
    """The images that the digest of an index or manifest, or the beginning of one, stands for."""
    found = {one.id for one in references.values() if one.index and hex_of(one.index).startswith(plain)}
    for manifest in indexes.manifests.values():
        record = images.get(manifest.config.digest)
        if record is not None and not record.hidden and hex_of(manifest.digest).startswith(plain):
            found.add(record.id)
    return found
