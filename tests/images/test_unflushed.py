"""Layers of builds that may not be on the disk yet: nothing may take such a layer for one that is."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.images.kit import Driver, Entry, digest, tar_of
from tests.support.limits import HANG_S
from vmagent.images.layer import DIFF, RECORD, UNFLUSHED, Kind, Layer, hex_of

NewStore = Callable[..., Driver]
LAYER = Layer(diff_id=f"sha256:{'a' * 64}", kind=Kind.DIR, size=0, tar_size=0, blob=None)


def finished(job: Path, layer: Layer = LAYER) -> None:
    """What a build's step leaves in its ingest folder."""
    made = job / "layers" / hex_of(layer.diff_id)
    (made / DIFF).mkdir(parents=True)
    (job / "blobs").mkdir()
    layer.write(made, UNFLUSHED)


def test_a_record_is_found_while_its_layer_is_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / hex_of(LAYER.diff_id)
    place.mkdir()
    LAYER.write(place, UNFLUSHED)
    read = Path.read_bytes

    def slow(path: Path) -> bytes:
        try:
            return read(path)
        except FileNotFoundError:  # and then the flush is over
            if (place / UNFLUSHED).exists():
                (place / UNFLUSHED).rename(place / RECORD)
            raise

    with monkeypatch.context() as changed:
        changed.setattr(Path, "read_bytes", slow)
        assert Layer.read(place) == LAYER
    assert not (place / UNFLUSHED).exists()


def test_a_build_that_is_cancelled_while_its_layer_is_taken_leaves_it_known(
    new_store: NewStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image that has the same layer can still have it flushed."""
    driver = new_store(kind=Kind.DIR)
    store, record = driver.store, driver.root.layers / hex_of(LAYER.diff_id) / RECORD
    move_in = store._move_in
    is_moving, may_move = threading.Event(), threading.Event()

    def slow(job: Path, *, is_flushed: bool = True) -> list[str]:
        is_moving.set()
        assert may_move.wait(HANG_S)
        return move_in(job, is_flushed=is_flushed)

    monkeypatch.setattr(store, "_move_in", slow)

    async def cancelled() -> None:
        async with store.ingest() as job:
            finished(job)
            adopting = asyncio.create_task(store.adopt_layers(job, [LAYER.diff_id], is_flushed=False))
            assert await asyncio.to_thread(is_moving.wait, HANG_S)
            adopting.cancel()
            await asyncio.wait([adopting], timeout=0)
            may_move.set()
            with pytest.raises(asyncio.CancelledError):
                await adopting
            await store.flush_layer(LAYER.diff_id)
            assert record.exists()

    driver.run(cancelled())


def test_the_layer_of_a_build_that_was_cancelled_comes_again_with_an_image(kind: Kind, new_store: NewStore) -> None:
    """A step's layer is a folder in every store, the same one of an image what the store's kind says."""
    driver = new_store(kind=kind)
    tar = tar_of(Entry("f", b"text"))
    layer = replace(LAYER, diff_id=digest(tar))

    async def cancelled() -> None:
        async with driver.store.ingest() as job:
            finished(job, layer)
            await driver.store.adopt_layers(job, [layer.diff_id], is_flushed=False)

    driver.run(cancelled())
    assert layer.diff_id not in driver.store.layers
    image = driver.store.resolve(driver.import_(tar))
    assert image.layers == (layer.diff_id,)
    assert driver.store.layers[layer.diff_id].kind is kind


def test_a_layer_that_is_here_is_looked_for_no_more_and_a_flush_is_one_turn_of_a_thread(
    new_store: NewStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = new_store(kind=Kind.DIR)
    store = driver.store
    turns: list[str] = []
    to_thread = asyncio.to_thread

    async def noted(function: Callable[..., Any], *args: Any, **more: Any) -> Any:
        turns.append(function.__name__)
        return await to_thread(function, *args, **more)

    async def step() -> list[str]:
        """The turns of threads for a step's layer, and for its flush."""
        async with store.ingest() as job:
            finished(job)
            turns.clear()
            await store.adopt_layers(job, [LAYER.diff_id], is_flushed=False)
            await store.flush_layer(LAYER.diff_id)
            return [*turns]

    async def steps() -> None:
        with monkeypatch.context() as changed:
            changed.setattr(asyncio, "to_thread", noted)
            async with store.ingest():  # nothing is collected meanwhile
                assert await step() == ["_damaged", "_adopt", "_flush_layer"]
                assert await step() == ["_adopt"]

    driver.run(steps())
