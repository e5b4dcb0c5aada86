"""Where a build's files come from: the main context and the named ones, each fetched once and only if it is used."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from vmagent.builder.cache import key_of
from vmagent.builder.layering import Layering
from vmagent.builder.progress import Progress, Vertex
from vmagent.builder.remembering import LARGEST_BYTES, Recent
from vmagent.builder.reporting import CANCELED, Report
from vmagent.builder.request import Context, InvalidBuild, Received, Selection
from vmagent.dockerfile.ignore import ignore_file_names, ignore_lines

IN_MEMORY_BYTES = 1 << 20  # of an upload
_IGNORE_BYTES = 1 << 20
_TRANSFERRING = "transferring context:"
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Root:
    """A tree that files are copied from: a context's folder, or a stack of layers."""

    folder: Path | None = None
    layers: tuple[str, ...] = ()

    @property
    def is_context(self) -> bool:
        return self.folder is not None


UploadTexts = Recent[tuple[str, str], Mapping[str, str | None]]  # by the digest of an upload and the Dockerfile's name


class SpooledContext:
    """`Context` of an uploaded tar. A small one is unpacked only if it has to be: what each build reads of it is known
    if an equal one was unpacked before."""

    def __init__(
        self, layering: Layering, ingest: Callable[[], AbstractAsyncContextManager[Path]], known: UploadTexts
    ) -> None:
        """`ingest`: gives the folder that is around the unpacked files, and removes it."""
        self._layering, self._ingest, self._known = layering, ingest, known
        self._stack = AsyncExitStack()
        self._small = b""  # the upload, if it is small
        self._digest = ""
        self._names: list[str] = []
        self._texts: Mapping[str, str | None] = {}
        self._unpacking: asyncio.Task[Path] | None = None

    async def spool(self, chunks: AsyncIterator[bytes], received: Received, dockerfile: str) -> None:
        """Take the upload. What each build reads of it, the file `dockerfile` first of all, is known then.

        Raises BuildError for what is no tar, EngineError, and what `chunks` raises.
        """
        self._names = [dockerfile, *ignore_file_names(dockerfile)]
        begin = bytearray()
        async for chunk in chunks:
            begin += chunk
            if len(begin) > IN_MEMORY_BYTES:
                await self._unpacked(_joined(bytes(begin), chunks), received)
                return
        self._small = bytes(begin)
        self._digest = hashlib.sha256(self._small).hexdigest()
        if (texts := self._known.get((self._digest, dockerfile))) is not None:
            self._texts = texts
            received(len(self._small))
            return
        await self._unpacked(_joined(self._small), received)
        if sum(len(text or "") for text in self._texts.values()) <= LARGEST_BYTES:
            self._known.put((self._digest, dockerfile), self._texts)

    async def _unpacked(self, chunks: AsyncIterator[bytes], received: Received) -> Path:
        """The folder with the files. Raises as `spool`."""
        if self._unpacking is None:
            self._unpacking = asyncio.create_task(self._unpack(chunks, received), name="unpack a context")
        return await asyncio.shield(self._unpacking)

    async def _unpack(self, chunks: AsyncIterator[bytes], received: Received) -> Path:
        folder = await self._stack.enter_async_context(self._ingest()) / "context"  # which the worker makes
        job = {"op": "spool", "into": str(folder), "read": self._names, "limit": _IGNORE_BYTES}
        done = await self._layering.feed(job, chunks, lambda event: received(event["received"]))
        self._texts, self._digest = done["texts"], self._digest or done["digest"]
        received(done["received"])
        return folder

    async def read(self, path: str, limit_bytes: int, folder: str = "") -> bytes | None:
        """See Context. `folder`: of the upload, which counts as the root."""
        if (whole := f"{folder}/{path}" if folder else path) in self._texts:
            text = self._texts[whole]
            return None if text is None else text.encode("latin-1")[:limit_bytes]
        root = await self._unpacked(_joined(self._small), lambda _: None) / folder
        job = {
            "op": "read",
            "root": {"folder": str(root)},
            "path": path,
            "limit": limit_bytes,
            "place": "",
        }
        content: str | None = (await self._layering.run(job))["content"]
        return None if content is None else content.encode("latin-1")

    async def digest(self, selection: Selection, received: Received) -> str:
        """See Context. That of the tar."""
        return self._digest

    async def fetch(self, selection: Selection, received: Received, folder_name: str = "") -> Path:
        """See Context. What is excluded is removed: all users of this context exclude the same. `folder_name`: of the
        upload, which counts as the root."""
        folder = await self._unpacked(_joined(self._small), received) / folder_name
        if selection.exclude:
            await self._layering.run({"op": "exclude", "into": str(folder), "exclude": [*selection.exclude]})
        return folder

    async def close(self) -> None:
        """Remove the files."""
        if self._unpacking is not None:
            self._unpacking.cancel()
            await asyncio.gather(self._unpacking, return_exceptions=True)
        await self._stack.aclose()


@dataclass(frozen=True, slots=True)
class UploadPart:
    """`Context` of one folder of an upload that holds several contexts."""

    upload: SpooledContext
    folder: str

    async def read(self, path: str, limit_bytes: int) -> bytes | None:
        """See Context."""
        return await self.upload.read(path, limit_bytes, self.folder)

    async def digest(self, selection: Selection, received: Received) -> str:
        """See Context. That of the whole upload."""
        return await self.upload.digest(selection, received)

    async def fetch(self, selection: Selection, received: Received) -> Path:
        """See Context."""
        return await self.upload.fetch(selection, received, self.folder)


async def _joined(begin: bytes, rest: AsyncIterator[bytes] | None = None) -> AsyncIterator[bytes]:
    yield begin
    if rest is not None:
        async for chunk in rest:
            yield chunk


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

    def __init__(self, progress: Progress, main: Context | None, dockerfile_name: str) -> None:
        self._progress, self._main, self._dockerfile_name = progress, main, dockerfile_name
        self._opened: dict[str, _Opened] = {}
        self._folders: dict[str, asyncio.Task[Path]] = {}

    @property
    def uses_main(self) -> bool:
        """Whether a step has asked for the main context."""
        return "" in self._folders

    async def digest(self) -> str:
        """That of the main context (`Context.digest`). Raises EngineError."""
        return await self._open("", self._main).digest()

    async def folder(self, name: str, context: Context | None) -> Path:
        """The folder of the named context, of the main one for "". Raises EngineError."""
        if name not in self._folders:
            opened = self._open(name, self._main if not name else context)
            self._folders[name] = asyncio.create_task(opened.folder(), name=f"context {name}")
        return await asyncio.shield(self._folders[name])

    def _open(self, name: str, context: Context | None) -> _Opened:
        if name not in self._opened:
            if context is None:
                raise InvalidBuild("no build context was sent: COPY and ADD have no files to copy")
            ignore_names = (".dockerignore",) if name else ignore_file_names(self._dockerfile_name)
            self._opened[name] = _Opened(context, name, ignore_names, self._progress)
        return self._opened[name]

    async def close(self) -> None:
        """Cancel what is still being fetched."""
        tasks = [*self._folders.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for opened in self._opened.values():
            opened.close()


class _Opened:
    """A context that a build uses, and what it reports of it: one vertex, however often the files are asked for."""

    def __init__(self, context: Context, name: str, ignore_names: Sequence[str], progress: Progress) -> None:
        self._context, self._ignore_names = context, ignore_names
        title = f"[context {name}] load" if name else "[internal] load build context"
        self._report = Report(progress, Vertex(digest=f"sha256:{key_of('context', name)}", name=title))
        self._selection: Selection | None = None
        self._size = 0
        self._asking = asyncio.Lock()
        self._is_reported = False

    async def digest(self) -> str:
        """Raises EngineError."""
        async with self._asking:
            return await self._asked(self._context.digest)

    async def folder(self) -> Path:
        """Raises EngineError."""
        async with self._asking:
            found = await self._asked(self._context.fetch)
            self.close()
            return found

    async def _asked(self, question: Callable[[Selection, Received], Awaitable[T]]) -> T:
        try:
            self._report.start()
            if self._selection is None:
                self._selection = Selection(exclude=await read_ignore_file(self._context, self._ignore_names))
            return await question(self._selection, self._received)
        except BaseException as e:
            self._end(error=str(e) or CANCELED)
            raise

    def _received(self, so_far: int) -> None:
        self._size = so_far
        self._report.status(_TRANSFERRING, current=so_far)

    def close(self) -> None:
        """Report that nothing more comes."""
        if not self._is_reported:
            self._report.status(_TRANSFERRING, current=self._size, done=True)
        self._end()

    def _end(self, error: str = "") -> None:
        if not self._is_reported:
            self._is_reported = True
            self._report.complete(error=error)
