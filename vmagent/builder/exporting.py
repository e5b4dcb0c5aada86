"""What leaves the engine of a built image without becoming an image of the store: an archive, or its files."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vmagent.builder.result import BuiltImage
from vmagent.images import archiving
from vmagent.images.store import Store
from vmagent.images.treetar import TreeTar

Run = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


async def archive(store: Store, ids: Mapping[str, bool], names: Sequence[str]) -> AsyncGenerator[bytes, None]:
    """A tar for `docker load` and OCI tools; of several images, an OCI layout with their index.

    `ids`: with whether the image is temporary, and no longer one of the store afterwards. Raises EngineError.
    """
    with contextlib.ExitStack() as stack:
        for image_id, is_temporary in ids.items():
            stack.callback(store.hold(image_id).release)
            if is_temporary:
                await store.forget(image_id)  # hidden now, and gone with the hold
        item = archiving.plain_item(store, list(ids), names, is_list=len(ids) > 1)
        async with archiving.archive(store, [item]) as made, contextlib.aclosing(made.chunks()) as chunks:
            async for chunk in chunks:
                yield chunk


@contextlib.asynccontextmanager
async def files(store: Store, run: Run, images: Sequence[BuiltImage]) -> AsyncIterator[Path]:
    """A folder with the image's files, until the exit; of several images, with a folder each such as `linux_amd64`.

    Raises BuildError, OSError.
    """
    async with store.ingest() as folder:
        await asyncio.to_thread(folder.mkdir, 0o700)
        into = folder / "files"
        if len(images) > 1:
            await asyncio.to_thread(into.mkdir)
        for number, image in enumerate(images):
            root = {"lowers": await store.stack_lowers(image.layers)}
            target = into / image.platform.replace("/", "_") if len(images) > 1 else into
            job = {"op": "materialize", "root": root, "path": "/", "into": str(target), "is_context": False}
            job["place"] = str(folder / f"view-{number}")
            await run(job)
        yield into


async def packed(folder: Path) -> AsyncGenerator[bytes, None]:
    """The folder as a tar. Raises OSError."""
    blocks = TreeTar().blocks(str(folder))
    while (block := await asyncio.to_thread(next, blocks, None)) is not None:
        yield block
