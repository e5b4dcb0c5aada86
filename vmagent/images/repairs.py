"""The store's part of a check's repairs: what is right is written again in the place of what is missing or damaged."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import replace
from pathlib import Path

from vmagent.durable import fsync_dir, publish
from vmagent.errors import Conflict
from vmagent.images import records
from vmagent.images.layer import RECORD, Layer, hex_of
from vmagent.images.records import References
from vmagent.images.store import Store
from vmagent.linux.files import exchange


async def replace_layer(store: Store, layer: Layer, rebuilt: Path) -> None:
    """Put a good copy of a layer, which lies in the ingest folder of the caller's job, in the place of a damaged one.

    Raises Conflict while a container, a copy or a job uses it, OSError.
    """
    async with store.change:
        if len(store.jobs) > 1:  # any may read the layer
            raise Conflict("images are being pulled or built: try again when that has ended")
        with store.uses.replacing(layer.diff_id):
            await asyncio.to_thread(_replace, store, layer, rebuilt)
        await store.put_away([rebuilt])  # where the two changed places


def _replace(store: Store, layer: Layer, rebuilt: Path) -> None:
    store.folders.unmount(layer.diff_id)
    final = store.root.layers / hex_of(layer.diff_id)
    if final.exists():
        exchange(str(rebuilt), str(final))
    else:
        os.rename(rebuilt, final)
    fsync_dir(store.root.layers)


async def write_layer(store: Store, layer: Layer) -> None:
    """Write the record of a layer anew. Raises OSError."""
    async with store.change:
        path = store.root.layers / hex_of(layer.diff_id) / RECORD
        await asyncio.to_thread(publish, path, json.dumps(layer.to_json()).encode())
        store.layers[layer.diff_id] = layer


async def write_image(store: Store, image_id: str, *, forget_manifest: bool = False) -> None:
    """Write the record of an image anew, if there still is one; without the manifest that it was pulled with if that is
    to be forgotten. Raises OSError."""
    async with store.change:
        record = store.images.get(image_id)
        if record is None:
            return
        if forget_manifest:
            record = replace(record, manifest=None)
        await asyncio.to_thread(records.write_image, store.root, record)
        store.images[image_id] = record


async def write_references(store: Store, unusable: References) -> None:
    """Write the names on the disk anew, as they are now, beside `unusable` ones: those that the disk has of images that
    the engine could not use. Raises OSError."""
    async with store.change:
        await asyncio.to_thread(records.write_references, store.root, {**unusable, **store.references})
