"""Files between a client and the engine, over the client's session: fsutil's DiffCopy in both directions.

`moby.filesync.v1.FileSync/DiffCopy` gives us a client's folder, named by the metadata `dir-name`;
`moby.filesync.v1.FileSend/DiffCopy` takes what a build exports, as a stream of bytes or as a tree (session/filesync).
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypeVar
from urllib.parse import quote_plus

from vmagent.builder.request import Received, Selection
from vmagent.buildkit.gomode import go_mode
from vmagent.buildkit.messages import (
    PACKET_DATA,
    PACKET_ERR,
    PACKET_FIN,
    PACKET_REQ,
    PACKET_STAT,
    BytesMessage,
    Packet,
    Stat,
)
from vmagent.buildkit.protobuf import DecodeError
from vmagent.buildkit.receiving import Receiver
from vmagent.buildkit.rpc import BulkCall, MessageSplitter
from vmagent.buildkit.sessions import Session
from vmagent.errors import BadRequest, EngineError

FILE_SYNC = "/moby.filesync.v1.FileSync/DiffCopy"
FILE_SEND = "/moby.filesync.v1.FileSend/DiffCopy"

_EXPORTER_ID = "buildkit-attachable-exporter-id"  # which of the request's exporters

CHUNK_BYTES = 32 << 10  # of a file in one packet, as fsutil sends

P = ParamSpec("P")
R = TypeVar("R")


class OnDisk(Protocol):
    """Runs a blocking function in a disk thread (`engine.background.Background.on_disk`)."""

    def __call__(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Awaitable[R]: ...


@dataclass(frozen=True, slots=True)
class Transferred:
    """`size`: the bytes in the folder's files. `is_changed`: it was not equal before, in more than times."""

    size: int
    is_changed: bool


def metadata(values: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    """Values as headers. Those with other characters than ASCII are escaped, and a further header says so."""
    made: list[tuple[str, str]] = []
    for key, texts in values.items():
        if all(text.isascii() for text in texts):
            made += [(key, text) for text in texts]
        else:
            made += [(key, quote_plus(text)) for text in texts]
            made.append((f"{key}-encoded", "1"))
    return made


async def fetch(
    session: Session,
    name: str,
    into: Path,
    selection: Selection,
    received: Received,
    on_disk: OnDisk,
    changed: Callable[[], object] = lambda: None,
) -> Transferred:
    """Make `into` equal to the selected files of the client's folder `name`.

    What `into` has already is kept where it is equal. `changed` is called once it is known not to be equal. Raises
    EngineError if the client refuses or disconnects.
    """
    if not session.serves(FILE_SYNC):
        raise BadRequest("no local sources enabled")
    wanted = {
        "dir-name": [name],
        "include-patterns": selection.include,
        "exclude-patterns": selection.exclude,
        "followpaths": selection.follow,
    }
    receiver = await on_disk(Receiver, into)
    try:
        async with session.caller.open_bulk(FILE_SYNC, Packet, metadata(wanted)) as call:
            await _receive(call, receiver, received, on_disk, changed)
        await on_disk(receiver.finish)
        return Transferred(receiver.size, receiver.is_changed)
    finally:
        await on_disk(receiver.close)


async def _receive(
    call: BulkCall, receiver: Receiver, received: Received, on_disk: OnDisk, changed: Callable[[], object]
) -> None:
    size = 0
    splitter = MessageSplitter()
    outgoing: asyncio.Queue[list[Packet]] = asyncio.Queue()
    # In a task of its own: the client stops reading requests while it waits for us to take contents.
    sending = asyncio.create_task(_send_requests(call, outgoing), name="request files")
    try:
        async with aclosing(call.blocks()) as blocks:
            async for block in blocks:
                wanted, taken = await on_disk(_apply, receiver, splitter, block)
                size += taken
                received(size)
                if receiver.is_changed:
                    changed()
                if wanted:
                    outgoing.put_nowait(wanted)
                if receiver.is_complete:
                    outgoing.put_nowait([Packet(type=PACKET_FIN)])
                    await sending
                    return  # the client's own end says nothing more
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    raise EngineError("the client ended the transfer before all files had come")


def _apply(receiver: Receiver, splitter: MessageSplitter, block: bytes) -> tuple[list[Packet], int]:
    """Blocks. The requests for contents that follow from the block, and the bytes of its messages."""
    messages = splitter.split(block)
    try:
        wanted = receiver.apply(map(Packet.FromString, messages))
    except DecodeError as e:
        raise BadRequest(f"the build context comes with an invalid packet: {e}") from e
    return [Packet(type=PACKET_REQ, ID=number) for number in wanted], sum(map(len, messages))


async def _send_requests(call: BulkCall, outgoing: asyncio.Queue[list[Packet]]) -> None:
    is_last = False
    while not is_last:
        packets = await outgoing.get()
        is_last = packets[-1].type == PACKET_FIN
        await call.send(packets, end=is_last)


async def send_bytes(
    session: Session, chunks: AsyncGenerator[bytes, None], exporter_id: int, about: Mapping[str, str]
) -> None:
    """Send a file that the client writes where it was told to, and close `chunks`.

    `about`: of the export, by BuildKit's keys.
    """
    values = {f"exporter-md-{key}": [value] for key, value in about.items()}
    values[_EXPORTER_ID] = [str(exporter_id)]
    async with aclosing(chunks), session.caller.open(FILE_SEND, BytesMessage, metadata(values)) as stream:
        async for chunk in chunks:
            for start in range(0, len(chunk), CHUNK_BYTES):
                await stream.send_message(BytesMessage(data=chunk[start : start + CHUNK_BYTES]))
        await stream.end()
        while await stream.recv_message() is not None:
            continue


async def send_tree(session: Session, folder: Path, exporter_id: int, on_disk: OnDisk) -> None:
    """Send all of `folder` to the client's destination."""
    listed = await on_disk(list_tree, folder)
    async with session.caller.open(FILE_SEND, Packet, metadata({_EXPORTER_ID: [str(exporter_id)]})) as stream:
        for about in listed:
            await stream.send_message(Packet(type=PACKET_STAT, stat=about))
        await stream.send_message(Packet(type=PACKET_STAT))
        while (packet := await stream.recv_message()) is not None:
            if packet.type == PACKET_REQ:
                await _send_file(stream, folder, listed, packet.ID, on_disk)
            elif packet.type == PACKET_ERR:
                raise EngineError(packet.data.decode(errors="replace"))
            elif packet.type == PACKET_FIN:
                await stream.send_message(Packet(type=PACKET_FIN), end=True)


async def _send_file(stream: Any, folder: Path, listed: Sequence[Stat], number: int, on_disk: OnDisk) -> None:
    if not 0 <= number < len(listed):
        raise EngineError(f"the client asks for file {number} of {len(listed)}")
    fd = await on_disk(os.open, folder / listed[number].path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        while data := await on_disk(os.read, fd, 16 * CHUNK_BYTES):
            for start in range(0, len(data), CHUNK_BYTES):
                await stream.send_message(Packet(type=PACKET_DATA, ID=number, data=data[start : start + CHUNK_BYTES]))
        await stream.send_message(Packet(type=PACKET_DATA, ID=number))
    finally:
        await on_disk(os.close, fd)


def list_tree(folder: Path) -> list[Stat]:
    """What `folder` holds, in the order in which fsutil walks: names compared as bytes, a folder before its content."""
    found: list[Stat] = []
    links: dict[tuple[int, int], str] = {}

    def walk(where: str, prefix: str) -> None:
        with os.scandir(where) as entries:
            ordered = sorted(entries, key=lambda entry: os.fsencode(entry.name))
        for entry in ordered:
            info = entry.stat(follow_symlinks=False)
            path = f"{prefix}{entry.name}"
            about = Stat(
                path=path, mode=go_mode(info.st_mode), uid=info.st_uid, gid=info.st_gid, modTime=info.st_mtime_ns
            )
            if stat.S_ISLNK(info.st_mode):
                about.linkname = os.readlink(entry.path)
            elif stat.S_ISREG(info.st_mode):
                about.size = info.st_size
                if info.st_nlink > 1:
                    first = links.setdefault((info.st_dev, info.st_ino), path)
                    about.linkname = first if first != path else ""
            elif stat.S_ISCHR(info.st_mode) or stat.S_ISBLK(info.st_mode):
                about.devmajor, about.devminor = os.major(info.st_rdev), os.minor(info.st_rdev)
            for name in os.listxattr(entry.path, follow_symlinks=False):
                about.xattrs[name] = os.getxattr(entry.path, name, follow_symlinks=False)
            found.append(about)
            if entry.is_dir(follow_symlinks=False):
                walk(entry.path, f"{path}/")

    walk(os.fspath(folder), "")
    return found
