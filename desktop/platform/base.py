"""The interface to the host's operating system; `platform_for` selects the implementation."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple, Protocol


class LocalAddress(NamedTuple):
    """Where QEMU serves one of its channels for us alone: a Unix socket, or (Windows) a port of the loopback."""

    path: Path | None
    port: int | None = None

    def chardev(self) -> str:
        """The address as options of QEMU's `-chardev socket`."""
        if self.path is not None:
            return f"path={escaped(str(self.path))}"
        return f"host=127.0.0.1,port={self.port}"

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Raises OSError."""
        if self.path is not None:
            opened = await asyncio.open_unix_connection(str(self.path))  # type: ignore[attr-defined,unused-ignore]
            return opened  # type: ignore[no-any-return,unused-ignore]  # absent on win32
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def attach(self, protocol: asyncio.BaseProtocol) -> None:
        """Connect, and have `protocol` handle the connection. Raises OSError."""
        loop: Any = asyncio.get_running_loop()  # Any: win32's loop has no Unix sockets
        if self.path is not None:
            await loop.create_unix_connection(lambda: protocol, str(self.path))
        else:
            await loop.create_connection(lambda: protocol, "127.0.0.1", self.port)


class Proxies(NamedTuple):
    """By which proxies other machines are reached: URLs, "" for none. `no`: hosts that are reached without, as NO_PROXY
    has them."""

    http: str = ""
    https: str = ""
    no: str = ""


class LocalServer(Protocol):
    """A served socket; `close` stops accepting and leaves connections alone."""

    def close(self) -> None: ...


class LoginEntry(Protocol):
    """Whether Cove starts when the user logs in. Calls block for moments and raise OSError."""

    def is_there(self) -> bool: ...
    def change(self, command: Sequence[str] | None) -> None:
        """Start `command` at login from now on; None: nothing."""
        ...


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class AlreadyHeld(Exception):
    """Another process holds the lock."""


class Platform(Protocol):
    """One operating system."""

    name: str  # sys.platform's word
    accelerators: tuple[str, ...]  # QEMU's names, best first, without tcg, which always works
    qemu_hint: str  # how QEMU is installed here
    saves_states: bool  # QEMU takes open files here, to save the VM's state to

    def maps_files(self, folder: Path) -> bool:
        """Whether files in `folder` can be mapped privately with holes in them that take no space, and hold more holes
        while they are mapped."""
        ...

    def clone_file(self, source: Path, target: Path) -> None:
        """Copy a file to the new file `target`, its holes as holes. Blocks. Raises OSError."""
        ...

    def qemu_folders(self, environ: Mapping[str, str]) -> tuple[Path, ...]:
        """Where to look for QEMU beside PATH."""
        ...

    def accelerator_obstacle(self, accelerator: str) -> str | None:
        """Why `accelerator` can't even be tried, in words for the user; None: it may work."""
        ...

    def boot_id(self) -> str:
        """Another value after each boot of this machine."""
        ...

    def memory_mb(self) -> tuple[int, int]:
        """This machine's memory and how much of it is free for use, in MiB."""
        ...

    def channel_address(self, run: Path, name: str) -> LocalAddress:
        """A new address for the QEMU channel `name`."""
        ...

    def detached(self) -> dict[str, Any]:
        """Arguments for subprocess that let a child outlive us and our terminal."""
        ...

    def is_alive(self, pid: int) -> bool:
        """Whether a process `pid` runs (a zombie does not)."""
        ...

    def port_holder(self, protocol: str, number: int) -> str | None:
        """A process that has the "tcp" or "udp" port `number`, in words for the user; None: the system can't tell. May
        take a while where many processes run."""
        ...

    def proxies(self, environ: Mapping[str, str]) -> Proxies:
        """This machine's settings: those of `environ`, else the system's. Blocks."""
        ...

    def authorities(self) -> tuple[Path, ...]:
        """Folders of certificate authorities that this machine's user has added to those of the system."""
        ...

    def login_entry(self, environ: Mapping[str, str]) -> LoginEntry:
        """What starts Cove at login."""
        ...

    def user_of(self, path: Path) -> int | None:
        """Another process that has the file `path` open; None: there is none, or the system does not tell."""
        ...

    def kill(self, pid: int) -> None:
        """End a process at once. Raises OSError."""
        ...

    def private_folder(self, path: Path) -> None:
        """Make `path` with its parents, open to its owner alone. Raises PermissionError where another user owns it."""
        ...

    def lock(self, path: Path) -> AbstractContextManager[None]:
        """Hold the file `path` for this process alone; the system frees it should we die. Raises AlreadyHeld."""
        ...

    async def serve(self, path: Path, handler: Handler) -> LocalServer:
        """Serve the local socket `path`, open to its owner alone; a dead one's leftover is replaced. Raises OSError."""
        ...

    def watch_hangup(self, writer: asyncio.StreamWriter, on_hangup: Callable[[], None]) -> Callable[[], None]:
        """Call `on_hangup` once when the peer of `writer` has closed both directions, which a reader alone can't tell
        from a half-close. Returns what ends the watch. Where the system can't tell, `on_hangup` is never called and
        the next write finds out."""
        ...


def escaped(value: str) -> str:
    """A value inside one of QEMU's comma-separated options: a comma is doubled."""
    return value.replace(",", ",,")
