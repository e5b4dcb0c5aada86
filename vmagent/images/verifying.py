"""Hashes what the store has, in a worker at low priority, for a check of the whole data root.

A layer's folder has no digest of its own where it was unpacked from a blob. So the blob is unpacked once more, beside
it, and the two folders are compared by the digests of their tars (treetar.py). The second folder is also what a repair
puts in the place of a damaged one; else it is deleted at once.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from vmagent.images import erofsindex
from vmagent.images.faults import ImageFault
from vmagent.images.ingest import Job, file_blocks
from vmagent.images.layer import DIFF, INDEX, TAR, Kind, Layer, hex_of
from vmagent.images.tarindex import TarIndex
from vmagent.images.tarstream import ByteSource
from vmagent.images.treetar import TreeTar
from vmagent.linux.trees import remove_whole_tree
from vmagent.paths import DataRoot

Message = dict[str, Any]
# What can be wrong with a blob or a layer, as it is sent to the engine.
MISSING, DAMAGED, NO_RECORD = "missing", "damaged", "no record"


def verify(job: Message, emit: Callable[[Message], None]) -> Message:
    """Check the blobs (hex names) and layers (records) that `job` names. An event for each:

    {"blob", "fault"}, and {"layer", "fault", "is_rebuilt"}: a good one is in the job's ingest folder. Raises OSError.
    """
    root, ingest = DataRoot(Path(job["data_root"])), Path(job["ingest"])
    good: set[str] = set()
    for name in job["blobs"]:
        fault = _blob(root.blobs / name)
        if not fault:
            good.add(name)
        emit({"blob": name, "fault": fault})
    for data in job["layers"]:
        layer = Layer.from_json(data)
        fault = _layer(root, layer)
        is_rebuilt, source = False, None
        if fault in (MISSING, DAMAGED) or (layer.kind is Kind.DIR and not fault):
            source = _source(root, layer, good)
        if source is not None:
            rebuilt = _rebuild(ingest, layer, source)
            if layer.kind is Kind.DIR and not fault and _differs(root, layer, rebuilt):
                fault = DAMAGED
            is_rebuilt = bool(fault)
            if not fault:
                remove_whole_tree(str(rebuilt))
        emit({"layer": layer.diff_id, "fault": fault, "is_rebuilt": is_rebuilt})
    return {}


def _source(root: DataRoot, layer: Layer, good: set[str]) -> Path | None:
    """A file that the layer can be made of."""
    if layer.blob is not None and hex_of(layer.blob.digest) in good:
        return root.blobs / hex_of(layer.blob.digest)
    tar = root.layers / hex_of(layer.diff_id) / TAR
    is_good = layer.kind is Kind.TAR and tar.exists() and _sha256(_file(tar)) == hex_of(layer.diff_id)
    return tar if is_good else None


def _blob(path: Path) -> str:
    try:
        return "" if _sha256(_file(path)) == path.name else DAMAGED
    except FileNotFoundError:
        return MISSING


def _layer(root: DataRoot, layer: Layer) -> str:
    """What is wrong with a layer as far as it can be said without its blob."""
    name = hex_of(layer.diff_id)
    folder = root.layers / name
    content = folder / (TAR if layer.kind is Kind.TAR else DIFF)
    if not content.exists():
        return MISSING
    if layer.kind is Kind.TAR:
        if not _is_whole_tar(folder, name):
            return DAMAGED
    elif layer.blob is None and _sha256(TreeTar().blocks(str(content))) != name:
        return DAMAGED
    try:
        return "" if Layer.read(folder) == layer else NO_RECORD
    except (OSError, ValueError):
        return NO_RECORD


def _is_whole_tar(folder: Path, name: str) -> bool:
    """Whether the tar has its digest, and the index is what it was made as. Raises OSError."""
    digest, made = hashlib.sha256(), TarIndex()
    source = ByteSource(_file(folder / TAR), digest.update)
    with contextlib.suppress(ImageFault):
        made.read(source)
    source.drain()
    if digest.hexdigest() != name:
        return False
    try:
        found = (folder / INDEX).read_bytes()
    except FileNotFoundError:
        return False
    if not erofsindex.is_of_this_form(found[: erofsindex.HEAD]):
        return erofsindex.is_index(found[: erofsindex.HEAD])
    return found == b"".join(made.image(source.taken) or ())


def _rebuild(ingest: Path, layer: Layer, source: Path) -> Path:
    """The layer made anew, in the job's folder, flushed. Raises OSError, ImageFault."""
    with contextlib.closing(Job(ingest, layer.kind)) as work, source.open("rb", buffering=0) as file:
        work.add_layer(file_blocks(file.fileno()), diff_id=layer.diff_id)
        made = work.layers / hex_of(layer.diff_id)
        layer.write(made)  # with the blob that the store has, however it was made
        for blob in work.blobs.iterdir():
            blob.unlink()
        work.flush()
    return made


def _differs(root: DataRoot, layer: Layer, rebuilt: Path) -> bool:
    folders = (root.layers / hex_of(layer.diff_id) / DIFF, rebuilt / DIFF)
    try:
        own, good = (_sha256(TreeTar(has_folder_times=False).blocks(str(folder))) for folder in folders)
        return own != good
    except OSError:
        return True


def _file(path: Path) -> Iterator[bytes]:
    with path.open("rb", buffering=0) as file:
        yield from file_blocks(file.fileno())


def _sha256(blocks: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for block in blocks:
        digest.update(block)
    return digest.hexdigest()
