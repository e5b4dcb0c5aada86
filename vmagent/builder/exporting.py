"""What leaves the engine of a built image without becoming an image of the store: an archive, or its files."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from vmagent.builder.result import BuiltImage
from vmagent.images.imagestore import ImageStore
from vmagent.images.store import Store
from vmagent.images.treetar import TreeTar

Run = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


async def archive(
    images: ImageStore, store: Store, image_id: str, names: Sequence[str], *, is_temporary: bool
) -> AsyncGenerator[bytes, None]:
    """A tar for `docker load` and OCI tools. `is_temporary`: no longer an image of the store afterwards.

    Raises EngineError.
    """
    hold = store.hold(image_id)
    try:
        if is_temporary:
            await store.forget(image_id)  # hidden now, and gone with the hold
        async with contextlib.aclosing(images.save_as({image_id: list(names)})) as chunks:
            async for chunk in chunks:
                yield chunk
    finally:
        hold.release()


@contextlib.asynccontextmanager
async def files(store: Store, run: Run, image: BuiltImage) -> AsyncIterator[Path]:
    """A folder with the image's files, until the exit. Raises BuildError, OSError."""
    async with store.ingest() as folder:
        await asyncio.to_thread(folder.mkdir, 0o700)
        root = {"lowers": await store.stack_lowers(image.layers)}
        into = folder / "files"
        job = {"op": "materialize", "root": root, "path": "/", "into": str(into), "is_context": False}
        job["place"] = str(folder / "view")
        await run(job)
        yield into


async def packed(folder: Path) -> AsyncGenerator[bytes, None]:
    """The folder as a tar. Raises OSError."""
    blocks = TreeTar().blocks(str(folder))
    while (block := await asyncio.to_thread(next, blocks, None)) is not None:
        yield block
