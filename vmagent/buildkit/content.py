"""A client's folder as a content store: blobs by digest, which `type=local` caches and OCI layouts are made of.

`containerd.services.content.v1.Content` on the client's session; a header names the store (buildkit's session/content).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path

from grpclib.const import Status as Code
from grpclib.exceptions import GRPCError

from vmagent.buildkit import messages as pb
from vmagent.buildkit.filesync import OnDisk
from vmagent.buildkit.sessions import Session
from vmagent.errors import EngineError

_SERVICE = "/containerd.services.content.v1.Content/"
_STORE = "buildkit-attachable-store-id"
_CHUNK_BYTES = 1 << 20


class SessionContent:
    """One store of one client."""

    def __init__(self, session: Session, name: str, on_disk: OnDisk) -> None:
        """`name`: as the client knows it, such as `local:/a/folder`."""
        self._session, self._on_disk = session, on_disk
        self._metadata: Sequence[tuple[str, str]] = [(_STORE, name)]

    def _check(self, method: str) -> str:
        path = f"{_SERVICE}{method}"
        if not self._session.serves(path):
            raise EngineError("the client offers no content store")
        return path

    async def read(self, digest: str) -> AsyncGenerator[bytes, None]:
        """The blob's bytes as they come, unchecked. Raises EngineError."""
        request = pb.ReadContentRequest(digest=digest)
        async with self._session.caller.open(
            self._check("Read"), pb.ReadContentRequest, self._metadata, replies=pb.ReadContentResponse
        ) as stream:
            await stream.send_message(request, end=True)
            while (message := await stream.recv_message()) is not None:
                yield message.data

    async def read_small(self, digest: str, limit_bytes: int) -> bytes:
        """A blob that fits in memory, checked. Raises EngineError."""
        data = bytearray()
        async with aclosing(self.read(digest)) as chunks:
            async for chunk in chunks:
                data += chunk
                if len(data) > limit_bytes:
                    raise EngineError(f"blob {digest} is larger than {limit_bytes} bytes")
        if (found := f"sha256:{hashlib.sha256(data).hexdigest()}") != digest:
            raise EngineError(f"blob {digest} is damaged: its content is {found}")
        return bytes(data)

    async def write(self, digest: str, data: bytes) -> None:
        """Put a small blob; one that is there already is kept. Raises EngineError."""
        await self._write(digest, len(data), _pieces(data))

    async def write_file(self, digest: str, path: Path) -> None:
        """Put a file as a blob; one that is there already is kept. Raises EngineError, OSError."""
        fd = await self._on_disk(os.open, path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            size = os.fstat(fd).st_size
            await self._write(digest, size, self._blocks(fd))
        finally:
            os.close(fd)

    async def _blocks(self, fd: int) -> AsyncGenerator[bytes, None]:
        while block := await self._on_disk(os.read, fd, _CHUNK_BYTES):
            yield block

    async def _write(self, digest: str, size: int, chunks: AsyncGenerator[bytes, None]) -> None:
        kind, ref, offset = pb.WriteContentRequest, f"cove-{digest}", 0
        try:
            async with (
                aclosing(chunks),
                self._session.caller.open(
                    self._check("Write"), kind, self._metadata, replies=pb.WriteContentResponse
                ) as stream,
            ):
                await stream.send_message(kind(action=pb.CONTENT_STAT, ref=ref, total=size, expected=digest))
                if await stream.recv_message() is None:
                    raise EngineError(f"the client took no blob {digest}")
                async for chunk in chunks:
                    await stream.send_message(kind(action=pb.CONTENT_WRITE, ref=ref, offset=offset, data=chunk))
                    offset += len(chunk)
                    await stream.recv_message()
                commit = kind(action=pb.CONTENT_COMMIT, ref=ref, offset=offset, total=size, expected=digest)
                await stream.send_message(commit, end=True)
                while await stream.recv_message() is not None:
                    pass
        except EngineError as e:
            if not (isinstance(e.__cause__, GRPCError) and e.__cause__.status is Code.ALREADY_EXISTS):
                raise


async def _pieces(data: bytes) -> AsyncGenerator[bytes, None]:
    for start in range(0, len(data), _CHUNK_BYTES):
        yield data[start : start + _CHUNK_BYTES]
