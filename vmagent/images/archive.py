"""`docker load`: a docker archive (manifest.json) or an OCI image layout (index.json) in one tar, packed or not.

The archive's files are spooled flat into the job's folder under numbers, whatever their names: nothing is unpacked by
name. OCI image-spec, image-layout.md; docker's image spec v1.2, "Combined Image JSON + Filesystem Changeset Format".
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vmagent.errors import BadRequest
from vmagent.images import jsontext, tarstream
from vmagent.images.compression import decompress, peek
from vmagent.images.config import MAX_CONFIG_BYTES, diff_ids, parse
from vmagent.images.faults import ImageFault
from vmagent.images.indexes import ATTESTATION, REFERENCE_TYPE, Entry, ImageIndex, Manifest, is_index
from vmagent.images.ingest import Job, file_blocks, write_all
from vmagent.images.layer import Expected, Layer, hex_of
from vmagent.images.links import clamped, components
from vmagent.images.manifests import descriptor, document, objects
from vmagent.images.platforms import INDEX_TYPES, Platform
from vmagent.images.reference import Reference
from vmagent.images.tarstream import ByteSource
from vmagent.paths import DataRoot

_MAX_FILES = 100_000
_MAX_JSON = MAX_CONFIG_BYTES
_LINK_LIMIT = 8
LayerProgress = Callable[[str, int, int], None]  # diff_id, bytes so far, bytes in all


@dataclass(frozen=True, slots=True)
class Loaded:
    """One image of an archive, in the job's folder. `manifest`, `index`: digests of what the archive has it by, where
    it is an OCI layout; all images of an index have its references."""

    id: str
    layers: list[str]
    references: list[str]
    manifest: str = ""
    index: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class Archive:
    """The spooled files of an archive."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self._files: dict[str, Path] = {}
        self._links: dict[str, str] = {}

    def spool(self, fd: int) -> None:
        """Take the archive from `fd` to its end. Raises ImageFault, OSError."""
        compression, raw = peek(file_blocks(fd))
        source = ByteSource(decompress(compression, raw))
        for member in tarstream.members(source):
            name = "/".join(components(member.name, "path"))
            if len(self._files) + len(self._links) >= _MAX_FILES:
                raise ImageFault("the archive holds too many files", "invalid")
            if member.type == tarstream.REGULAR:
                path = self._folder / str(len(self._files))
                out = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
                try:
                    for piece in source.pieces(member.payload):
                        write_all(out, piece)
                finally:
                    os.close(out)
                self._files[name] = path
            elif member.type == tarstream.SYMLINK:  # docker before 25 saved a layer once and linked to it
                folder = "" if member.link.startswith("/") else name.rpartition("/")[0]
                self._links[name] = "/".join(clamped(f"{folder}/{member.link}", "link to"))
            elif member.type == tarstream.HARD_LINK:
                self._links[name] = "/".join(clamped(member.link, "link to"))
        source.drain()

    def find(self, name: str) -> Path | None:
        """Where the file `name` of the archive was put."""
        name = "/".join(components(name, "path"))
        for _ in range(_LINK_LIMIT):
            if name not in self._links:
                break
            name = self._links[name]
        return self._files.get(name)

    def path(self, name: str) -> Path:
        """As find. Raises ImageFault if there is none."""
        path = self.find(name)
        if path is None:
            raise ImageFault(f"invalid archive: it has no {name}", "invalid")
        return path

    def small(self, name: str) -> bytes:
        """The bytes of a JSON file. Raises ImageFault."""
        path = self.path(name)
        if path.stat().st_size > _MAX_JSON:
            raise ImageFault(f"invalid archive: {name} is too large", "invalid")
        return path.read_bytes()

    def json(self, name: str) -> Any:
        """Raises ImageFault."""
        try:
            return jsontext.loads(self.small(name))
        except (ValueError, RecursionError) as e:
            raise ImageFault(f"invalid archive: {name}: {e}", "invalid") from e

    def blob(self, named: Any, what: str) -> bytes:
        """A small blob of an OCI layout, with its digest checked. Raises ImageFault."""
        expected = descriptor(named, what)
        data = self.small(f"blobs/sha256/{hex_of(expected.digest)}")
        if f"sha256:{hashlib.sha256(data).hexdigest()}" != expected.digest:
            raise ImageFault(f"invalid archive: blob {expected.digest} has other content", "invalid")
        return data


def load(fd: int, job: Job, data_root: DataRoot, platform: Platform | None, on_layer: LayerProgress) -> list[Loaded]:
    """Put every image of the archive on `fd` into `job`; with `platform`, the images for that. Raises ImageFault,
    OSError."""
    archive = Archive(job.folder / "spool")
    archive.spool(fd)
    if archive.find("manifest.json") is not None and not _has_index(archive):
        loaded = [_docker_image(entry, archive, job, data_root, platform, on_layer) for entry in _entries(archive)]
    elif archive.find("index.json") is not None:
        loaded = list(_Layout(archive, job, data_root, platform, on_layer).images())
    else:
        raise ImageFault("invalid archive: neither manifest.json nor index.json in it", "invalid")
    if not loaded:
        raise ImageFault("invalid archive: no image in it", "invalid")
    return loaded


def _has_index(archive: Archive) -> bool:
    """Whether the archive is an OCI layout with an image index, of which docker's own form would lose all but one
    image."""
    if archive.find("index.json") is None:
        return False
    listed = objects(document(archive.small("index.json"), "index.json"), "manifests")
    return any(entry.get("mediaType") in INDEX_TYPES for entry in listed)


def _checked(config: bytes, name: str, platform: Platform | None) -> list[str]:
    """The diff_ids of an image's config, if it is of this system and of the platform that is asked for. Raises
    ImageFault."""
    parsed = parse(config)
    actual = Platform.from_json(parsed)
    if actual.os == "windows":
        raise ImageFault(f"cannot load {actual.os} image on linux", "invalid")
    if platform is not None and not actual.suits(platform):
        raise _missing(name, platform)
    return diff_ids(parsed)


def _missing(name: str, platform: Platform) -> ImageFault:
    return ImageFault(
        f"image with reference {name} was found but does not provide the specified platform ({platform})", "not-found"
    )


def _entries(archive: Archive) -> list[dict[str, Any]]:
    entries = archive.json("manifest.json")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ImageFault("invalid archive: manifest.json is no list of images", "invalid")
    return entries


def _docker_image(
    entry: dict[str, Any],
    archive: Archive,
    job: Job,
    data_root: DataRoot,
    platform: Platform | None,
    on_layer: LayerProgress,
) -> Loaded:
    try:
        config_name, layer_names, tags = str(entry["Config"]), list(entry["Layers"] or []), entry.get("RepoTags") or []
    except (KeyError, TypeError) as e:
        raise ImageFault(f"invalid archive: manifest.json: {e}", "invalid") from e
    if not isinstance(tags, list) or not all(isinstance(name, str) for name in (*tags, *layer_names)):
        raise ImageFault("invalid archive: manifest.json: the names of an image are no list of texts", "invalid")
    config = archive.small(config_name)
    wanted = _checked(config, str(tags[0]) if tags else config_name, platform)
    if len(wanted) != len(layer_names):
        raise ImageFault(f"invalid archive: {len(layer_names)} layers for {len(wanted)} diff_ids", "invalid")
    for diff_id, name in zip(wanted, layer_names, strict=True):
        _layer(archive.path(str(name)), diff_id, None, job, data_root, on_layer)
    return Loaded(job.put_blob(config), wanted, [_reference(str(tag)) for tag in tags])


class _Layout:
    """An OCI image layout: its images, in the job."""

    def __init__(
        self, archive: Archive, job: Job, data_root: DataRoot, platform: Platform | None, on_layer: LayerProgress
    ) -> None:
        self._archive, self._job, self._data_root = archive, job, data_root
        self._platform, self._on_layer = platform, on_layer

    def images(self) -> Iterator[Loaded]:
        """Raises ImageFault, OSError."""
        index = document(self._archive.small("index.json"), "index.json")
        for entry in objects(index, "manifests"):
            annotations = entry.get("annotations")
            annotations = annotations if isinstance(annotations, dict) else {}
            if annotations.get(REFERENCE_TYPE) == ATTESTATION:
                continue
            name = str(
                annotations.get("io.containerd.image.name")
                or annotations.get("org.opencontainers.image.ref.name")
                or ""
            )
            # ref.name alone may be no more than a tag, which names no repository.
            tags = [_reference(name)] if "/" in name or ":" in name else []
            data = self._archive.blob(entry, "an entry of index.json")
            shown = name or str(entry.get("digest"))
            if entry.get("mediaType") in INDEX_TYPES or is_index(document(data, "manifest")):
                yield from self._of_index(data, shown, tags)
            else:
                yield self._image(data, shown, tags, self._platform)

    def _of_index(self, data: bytes, name: str, tags: list[str]) -> Iterator[Loaded]:
        """The images of an index that the archive has, with their attestations. Without a name for it, only the images:
        the store keeps an index for its names. Raises ImageFault."""
        digest = self._job.put_blob(data) if tags else ""
        index = ImageIndex.parse(data, digest)
        loaded = 0
        for entry in index.images():
            if entry.platform is not None:
                if entry.platform.os not in ("", "linux"):
                    continue
                if self._platform is not None and not entry.platform.suits(self._platform):
                    continue
            if self._find(entry.digest) is None:
                continue
            manifest = self._archive.blob(entry.raw, "an entry of an index")
            if self._find(Manifest.parse(manifest, entry.digest).config.digest) is None:
                continue  # no more of this platform than its manifest
            yield self._image(manifest, name, tags, self._platform, digest)
            loaded += 1
            for about in index.attestations(entry.digest) if tags else ():
                self._attestation(about)
        if not loaded and self._platform is not None:
            raise _missing(name, self._platform)
        if not loaded:
            raise ImageFault(f"invalid archive: it has no image of {name}", "invalid")

    def _image(self, data: bytes, name: str, tags: list[str], platform: Platform | None, index: str = "") -> Loaded:
        manifest = document(data, "manifest")
        config = self._archive.blob(manifest.get("config"), "the config")
        wanted = _checked(config, name, platform)
        layers = [descriptor(layer, "a layer") for layer in objects(manifest, "layers")]
        if len(wanted) != len(layers):
            raise ImageFault(f"invalid archive: {len(layers)} layers for {len(wanted)} diff_ids", "invalid")
        for diff_id, layer in zip(wanted, layers, strict=True):
            _layer(self._blob(layer.digest), diff_id, layer, self._job, self._data_root, self._on_layer)
        return Loaded(self._job.put_blob(config), wanted, tags, self._job.put_blob(data), index)

    def _attestation(self, entry: Entry) -> None:
        """Keep an attestation, if the archive has it."""
        if self._find(entry.digest) is None:
            return
        data = self._archive.blob(entry.raw, "an attestation")
        manifest = Manifest.parse(data, entry.digest)
        for blob in (manifest.config, *manifest.layers):
            self._job.put_blob(self._archive.blob({"digest": blob.digest, "size": blob.size}, "an attestation's part"))
        self._job.put_blob(data)

    def _find(self, digest: str) -> Path | None:
        return self._archive.find(f"blobs/sha256/{hex_of(digest)}")

    def _blob(self, digest: str) -> Path:
        return self._archive.path(f"blobs/sha256/{hex_of(digest)}")


def _layer(
    path: Path, diff_id: str, expected: Expected | None, job: Job, data_root: DataRoot, on_layer: LayerProgress
) -> Layer:
    for known in (data_root.layers, job.layers):
        if (layer := Layer.find(known / hex_of(diff_id))) is not None:
            return layer
    total = path.stat().st_size
    done = 0

    def read(fd: int) -> Iterator[bytes]:
        nonlocal done
        for block in file_blocks(fd):
            done += len(block)
            on_layer(diff_id, done, total)
            yield block

    with path.open("rb", buffering=0) as file:
        layer = job.add_layer(read(file.fileno()), expected=expected, diff_id=diff_id)
    path.unlink()
    return layer


def _reference(text: str) -> str:
    try:
        return Reference.parse(text).with_default_tag().key
    except BadRequest as e:
        raise ImageFault(f"invalid archive: {text!r}: {e}", "invalid") from e
