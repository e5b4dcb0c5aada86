"""Windows hosts: the Windows Hypervisor Platform, named pipes, no signals."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import shutil
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from desktop.platform.base import AlreadyHeld, Handler, LocalAddress, LocalServer, LoginEntry, Proxies
from desktop.platform.login import RunKey
from desktop.platform.proxies import from_environment, from_registry

_SYNCHRONIZE = 0x00100000
_STILL_THERE = 0x102  # WAIT_TIMEOUT


class Windows:
    """The platform interface for Windows."""

    name = "win32"
    accelerators: tuple[str, ...] = ("whpx",)
    saves_states = False  # no open file can be passed to a process here
    qemu_hint = "Install it: winget install SoftwareFreedomConservancy.QEMU"

    def maps_files(self, folder: Path) -> bool:
        return False

    def clone_file(self, source: Path, target: Path) -> None:
        shutil.copyfile(source, target)

    def qemu_folders(self, environ: Mapping[str, str]) -> tuple[Path, ...]:
        programs = environ.get("PROGRAMFILES", r"C:\Program Files")
        return (Path(programs) / "qemu",)

    def accelerator_obstacle(self, accelerator: str) -> str | None:
        system = os.environ.get("SYSTEMROOT", r"C:\Windows")
        if (Path(system) / "System32" / "WinHvPlatform.dll").exists():
            return None
        return "the Windows feature “Windows Hypervisor Platform” is off"

    def boot_id(self) -> str:
        """The minute this machine was booted; Windows has no name for a boot."""
        uptime_ms = _kernel32().GetTickCount64()
        return f"booted at minute {round((time.time() - uptime_ms / 1000) / 60)}"

    def memory_mb(self) -> tuple[int, int]:
        status = ctypes.create_string_buffer(64)  # MEMORYSTATUSEX: its length, a percentage, total, available, …
        struct.pack_into("<I", status, 0, len(status))
        _kernel32().GlobalMemoryStatusEx(status)
        total, available = struct.unpack_from("<QQ", status, 8)
        return total >> 20, available >> 20

    def channel_address(self, run: Path, name: str) -> LocalAddress:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return LocalAddress(None, probe.getsockname()[1])

    def detached(self) -> dict[str, Any]:
        flags = ("DETACHED_PROCESS", "CREATE_NEW_PROCESS_GROUP", "CREATE_NO_WINDOW")
        return {"creationflags": sum({getattr(subprocess, flag, 0) for flag in flags})}

    def is_alive(self, pid: int) -> bool:
        handle = _kernel32().OpenProcess(_SYNCHRONIZE, False, pid)
        if not handle:
            return False
        try:
            return bool(_kernel32().WaitForSingleObject(handle, 0) == _STILL_THERE)
        finally:
            _kernel32().CloseHandle(handle)

    def port_holder(self, protocol: str, number: int) -> str | None:
        return None

    def proxies(self, environ: Mapping[str, str]) -> Proxies:
        if (found := from_environment(environ)) is not None:
            return found
        import urllib.request
        import winreg

        found_there = urllib.request.getproxies_registry()  # type: ignore[attr-defined,unused-ignore]  # win32 only
        override = ""
        with (
            contextlib.suppress(OSError),
            winreg.OpenKey(  # type: ignore[attr-defined,unused-ignore]
                winreg.HKEY_CURRENT_USER,  # type: ignore[attr-defined,unused-ignore]
                r"Software\Microsoft\Windows\CurrentVersion\Internet Settings",
            ) as key,
        ):
            override = str(winreg.QueryValueEx(key, "ProxyOverride")[0])  # type: ignore[attr-defined,unused-ignore]
        return from_registry(found_there, override)

    def authorities(self) -> tuple[Path, ...]:
        return ()  # they are in the certificate store

    def login_entry(self, environ: Mapping[str, str]) -> LoginEntry:
        return RunKey()

    def user_of(self, path: Path) -> int | None:
        return None

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGTERM)  # TerminateProcess

    def private_folder(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)  # inside the profile, which its owner alone may read

    @contextlib.contextmanager
    def lock(self, path: Path) -> Iterator[None]:
        import msvcrt

        with open(path, "a+b") as file:
            try:
                file.seek(0)
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]  # win32 only
            except OSError as e:
                raise AlreadyHeld(str(path)) from e
            yield

    async def serve(self, path: Path, handler: Handler) -> LocalServer:
        loop: Any = asyncio.get_running_loop()  # the proactor's loop, which alone has named pipes

        def protocol() -> asyncio.StreamReaderProtocol:
            return asyncio.StreamReaderProtocol(asyncio.StreamReader(), handler)

        (server,) = await loop.start_serving_pipe(protocol, str(path))
        return server  # type: ignore[no-any-return]

    def watch_hangup(self, writer: asyncio.StreamWriter, on_hangup: Callable[[], None]) -> Callable[[], None]:
        return lambda: None  # a named pipe has no half-close: the reader sees the end


def _kernel32() -> Any:
    return ctypes.WinDLL("kernel32")  # type: ignore[attr-defined,unused-ignore]  # win32 only
