"""What lists and inspections of images show of the store: Engine API, ImageList, ImageInspect, ImageHistory.

A name that points to an index is one image in a list: that of the platform which the name means on this machine. The
images of its other platforms are shown beneath it (`Manifests`), and only there.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from vmagent.images import views
from vmagent.images.filters import LIST_KEYS, Filters, Wanted
from vmagent.images.indexes import Entry, EntryKind, ImageIndex, Manifest
from vmagent.images.layer import top_first
from vmagent.images.platforms import Platform
from vmagent.images.records import ImageRecord, Pointer, Target
from vmagent.images.removal import Users
from vmagent.images.selection import selected
from vmagent.images.store import Store

Shape = dict[str, Any]
Named = Sequence[tuple[str, Pointer]]


class Listing:
    """The questions, of one moment; nothing is waited for between them."""

    def __init__(self, store: Store, users: Users) -> None:
        self._store = store
        self._kept: Collection[str] | None = None
        self._containers: dict[str, list[str]] = defaultdict(list)
        for user in users():
            self._containers[user.image_id].append(user.container_id)

    # --- verbs

    def images(self, filters: Filters, *, shared_size: bool, manifests: bool) -> list[Shape]:
        """ImageSummary objects, newest first. Raises BadRequest."""
        store = self._store
        wanted = Wanted.parse(filters, LIST_KEYS, store.created_of)
        beneath = store.indexes.beneath(store.references.values())
        names: dict[str, list[tuple[str, Pointer]]] = defaultdict(list)
        for key, pointer in store.references.items():
            names[pointer.id].append((key, pointer))
        naming: Counter[str] = Counter()
        if shared_size:
            for record in store.shown():
                naming.update(set(record.layers))
        listed = []
        for record in store.shown():
            references = names[record.id]
            if record.id in beneath or (wanted.dangling is not None and wanted.dangling == bool(references)):
                continue
            if not wanted.takes(store.configs[record.id], references):
                continue
            listed.append(self._summary(record, references, wanted, naming, shared_size, manifests))
        listed.sort(key=lambda item: item["Created"], reverse=True)
        return listed

    def inspect(self, ref: str, platform: Platform | None, *, manifests: bool) -> Shape:
        """ImageInspect. Raises NotFound."""
        store = self._store
        target = store.target(ref)
        chosen = selected(store, ref, target, platform)
        record = store.images[chosen.image_id]
        shape = views.inspect(
            record,
            store.configs[record.id],
            self._names(target),
            store.layers,
            [str(store.lower_path(diff_id)) for diff_id in top_first(record.layers)],
        )
        if platform is None and target.index:
            shape["Descriptor"] = store.indexes.known[target.index].descriptor()
        elif chosen.manifest is not None:
            shape["Descriptor"] = chosen.manifest.descriptor() | ({"platform": chosen.platform} if target.index else {})
        if manifests:
            shape["Manifests"] = self._manifests(record, [target.index] if target.index else [])
        return shape

    def history(self, ref: str, platform: Platform | None) -> list[Shape]:
        """ImageHistory items, newest first. Raises NotFound."""
        store = self._store
        target = store.target(ref)
        record = store.images[selected(store, ref, target, platform).image_id]
        return views.history(record, store.configs[record.id], self._names(target), store.layers)

    # --- parts

    def _names(self, target: Target) -> Named:
        """The names of an image; of one that an index brought, those of the index."""
        return self._store.references_of(self._store.indexes.best(target.index) or target.image_id)

    def _summary(
        self,
        record: ImageRecord,
        references: Named,
        wanted: Wanted,
        naming: Mapping[str, int],
        shared_size: bool,
        manifests: bool,
    ) -> Shape:
        store = self._store
        by_time = sorted(((pointer.at, pointer.index) for _, pointer in references if pointer.index), reverse=True)
        indexes = list(dict.fromkeys(index for _, index in by_time))
        members = {record.id, *(image_id for index in indexes for _, image_id in store.indexes.present(index))}
        layers = record.layers
        if len(members) > 1:
            layers = tuple(dict.fromkeys(layer for one in members for layer in store.images[one].layers))
        shared = -1
        if shared_size:
            shared = sum(store.layers[one].size for one in set(layers) if naming[one] > 1)
        shape = views.summary(
            record,
            store.configs[record.id],
            [item for item in references if wanted.takes_reference(item[0])],
            size=views.size(layers, store.layers),
            shared_size=shared,
            containers=sum(len(self._containers.get(one, ())) for one in members),
        )
        if indexes:
            shape["Descriptor"] = store.indexes.known[indexes[0]].descriptor()
        elif (manifest := store.indexes.manifests.get(record.manifest or "")) is not None:
            shape["Descriptor"] = manifest.descriptor()
        if manifests:
            shape["Manifests"] = self._manifests(record, indexes)
        return shape

    def _manifests(self, record: ImageRecord, indexes: Iterable[str]) -> list[Shape]:
        """ImageManifestSummary objects of the indexes, each manifest once; of an image without one, of itself."""
        store = self._store
        if self._kept is None:
            self._kept = store.blob_digests()
        kept = self._kept
        shown: dict[str, Shape] = {}
        for digest in indexes:
            index = store.indexes.known[digest]
            for entry in index.entries:
                if entry.digest not in shown:
                    shown[entry.digest] = self._of_entry(index, entry, kept)
        manifest = store.indexes.manifests.get(record.manifest or "")
        if not shown and manifest is not None:
            platform = views.platform(store.configs[record.id])
            shown[manifest.digest] = self._of_image(record.id, manifest, manifest.descriptor(), platform, kept)
        return list(shown.values())

    def _of_entry(self, index: ImageIndex, entry: Entry, kept: Collection[str]) -> Shape:
        manifest = self._store.indexes.manifests.get(entry.digest)
        if entry.kind is EntryKind.IMAGE:
            image_id = self._store.indexes.image_of(entry)
            platform = entry.raw.get("platform")
            if not platform and image_id:
                platform = views.platform(self._store.configs[image_id])
            return self._of_image(image_id, manifest, entry.raw, platform or {}, kept)
        is_here = self._store.indexes.is_here(index, entry)
        content = views.content_size(manifest, kept) if is_here else 0
        shape = views.manifest(entry.raw, entry.kind, is_here=is_here, content=content)
        if entry.kind is EntryKind.ATTESTATION:
            shape["AttestationData"] = {"For": entry.subject}
        return shape

    def _of_image(
        self,
        image_id: str,
        manifest: Manifest | None,
        descriptor: Mapping[str, Any],
        platform: Mapping[str, Any],
        kept: Collection[str],
    ) -> Shape:
        store = self._store
        unpacked = views.size(store.images[image_id].layers, store.layers) if image_id else 0
        content = views.content_size(manifest, kept) if image_id else 0
        shape = views.manifest(descriptor, EntryKind.IMAGE, is_here=bool(image_id), content=content, unpacked=unpacked)
        shape["ImageData"] = {
            "Platform": dict(platform),
            "Containers": list(self._containers.get(image_id, ())),
            "Size": {"Unpacked": unpacked},
        }
        return shape
