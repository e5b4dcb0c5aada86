"""Which image of a name is meant: the one for a platform that was asked for, or the one that the name means here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vmagent.errors import NotFound
from vmagent.images import views
from vmagent.images.indexes import Entry, Manifest
from vmagent.images.platforms import Platform
from vmagent.images.records import Target
from vmagent.images.store import Store


@dataclass(frozen=True, slots=True)
class Selected:
    """One image of a target, its manifest if that is kept, and its platform's JSON."""

    image_id: str
    manifest: Manifest | None
    platform: Mapping[str, Any]


def selected(store: Store, ref: str, target: Target, platform: Platform | None) -> Selected:
    """The image of `target` for a platform; without one, the image that its names mean. Raises NotFound in docker's
    words."""
    found = target.image_id
    entry: Entry | None = None
    if target.index:
        present = store.indexes.present(target.index)
        entry = next((one for one, image_id in present if image_id == found), None)
    if platform is not None:
        chosen = store.indexes.chosen(target.index, platform) if target.index else None
        if chosen is not None:
            entry, found = chosen
        elif target.index or not Platform.from_json(store.configs[found]).suits(platform):
            raise NotFound(
                f"image with reference {ref} was found but does not provide the specified platform ({platform})"
            )
    digest = entry.digest if entry is not None else store.images[found].manifest
    shown = entry.raw.get("platform") if entry is not None else None
    return Selected(found, store.indexes.manifests.get(digest or ""), shown or views.platform(store.configs[found]))
