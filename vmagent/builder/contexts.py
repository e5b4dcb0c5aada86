"""Where a build's files come from: the main context and the named ones, each fetched once and only if it is used."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vmagent.builder.cache import key_of
from vmagent.builder.layering import Layering, Workspace
from vmagent.builder.progress import Progress, Vertex
from vmagent.builder.reporting import CANCELED, Report
from vmagent.builder.request import Context, InvalidBuild, Received, Selection
from vmagent.dockerfile.ignore import ignore_file_names, ignore_lines

_IGNORE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Root:
    """A tree that files are copied from: a context's folder, or a stack of layers."""

    folder: Path | None = None
    layers: tuple[str, ...] = ()

    @property
    def is_context(self) -> bool:
        return self.folder is not None


class SpooledContext:
    """`Context` of an uploaded tar, unpacked into a folder of the build before anything of it is asked for."""

    def __init__(self, layering: Layering, folder: Path) -> None:
        self._layering, self._folder = layering, folder
        self._texts: dict[str, str | None] = {}

    async def spool(self, chunks: AsyncIterator[bytes], received: Received, dockerfile: str) -> None:
        """Take the upload. What each build reads of it, the file `dockerfile` first of all, comes with the reply.

        Raises BuildError for what is no tar, EngineError.
        """
        names = [dockerfile, *ignore_file_names(dockerfile)]
        job = {"op": "spool", "into": str(self._folder), "read": names, "limit": _IGNORE_BYTES}
        done = await self._layering.feed(job, chunks, lambda event: received(event["received"]))
        self._texts = done["texts"]
        received(done["received"])

    async def read(self, path: str, limit_bytes: int) -> bytes | None:
        """See Context."""
        if path in self._texts:
            text = self._texts[path]
            return None if text is None else text.encode("latin-1")[:limit_bytes]
        job = {
            "op": "read",
            "root": {"folder": str(self._folder)},
            "path": path,
            "limit": limit_bytes,
            "place": "",
        }
        content: str | None = (await self._layering.run(job))["content"]
        return None if content is None else content.encode("latin-1")

    async def fetch(self, into: Path, selection: Selection, received: Received) -> Path:
        """See Context. What is excluded is removed: all users of this context exclude the same."""
        del into, received
        if selection.exclude:
            await self._layering.run({"op": "exclude", "into": str(self._folder), "exclude": [*selection.exclude]})
        return self._folder


async def read_ignore_file(context: Context | None, names: Sequence[str]) -> tuple[str, ...]:
    """The lines of the first of these ignore files that there is. Raises EngineError."""
    if context is None:
        return ()
    for name in names:
        if (data := await context.read(name, _IGNORE_BYTES)) is not None:
            return ignore_lines(data)
    return ()


class Contexts:
    """The contexts of one build."""

    def __init__(self, workspace: Workspace, progress: Progress, main: Context | None, dockerfile_name: str) -> None:
        self._workspace, self._progress = workspace, progress
        self._main, self._dockerfile_name = main, dockerfile_name
        self._folders: dict[str, asyncio.Task[Path]] = {}

    async def folder(self, name: str, context: Context | None) -> Path:
        """The folder of the named context, of the main one for "". Raises EngineError."""
        if name not in self._folders:
            work = self._fetch(name, self._main if not name else context)
            self._folders[name] = asyncio.create_task(work, name=f"context {name}")
        return await asyncio.shield(self._folders[name])

    async def _fetch(self, name: str, context: Context | None) -> Path:
        if context is None:
            raise InvalidBuild("no build context was sent: COPY and ADD have no files to copy")
        title = f"[context {name}] load" if name else "[internal] load build context"
        report = Report(self._progress, Vertex(digest=f"sha256:{key_of('context', name)}", name=title))
        report.start()
        try:
            names = (".dockerignore",) if name else ignore_file_names(self._dockerfile_name)
            exclude = await read_ignore_file(context, names)

            size = 0

            def received(so_far: int) -> None:
                nonlocal size
                size = so_far
                report.status("transferring context:", current=size)

            found = await context.fetch(self._workspace.path("context"), Selection(exclude=exclude), received)
            report.status("transferring context:", current=size, done=True)
        except BaseException as e:
            report.complete(error=str(e) or CANCELED)
            raise
        report.complete()
        return found

    async def close(self) -> None:
        """Cancel what is still being fetched."""
        tasks = [*self._folders.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
