"""The part of the platform interface that Linux and macOS share."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from desktop.platform.base import AlreadyHeld, Handler, LocalAddress, LocalServer


class Posix:
    """Base of the POSIX platforms."""

    saves_states = True

    def maps_files(self, folder: Path) -> bool:
        return False

    def clone_file(self, source: Path, target: Path) -> None:
        shutil.copyfile(source, target)

    def channel_address(self, run: Path, name: str) -> LocalAddress:
        path = run / f"{name}.sock"
        path.unlink(missing_ok=True)
        return LocalAddress(path)

    def detached(self) -> dict[str, Any]:
        return {"start_new_session": True}

    def is_alive(self, pid: int) -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True

    def port_holder(self, protocol: str, number: int) -> str | None:
        return None

    def user_of(self, path: Path) -> int | None:
        return None

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)

    def private_folder(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        found = path.lstat()
        # In /tmp another user may have made the folder before us, or a link to another place.
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != _own_uid():
            raise PermissionError(f"{path} belongs to another user")
        path.chmod(0o700)

    @contextlib.contextmanager
    def lock(self, path: Path) -> Iterator[None]:
        import fcntl

        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # type: ignore[attr-defined,unused-ignore]  # absent on win32
            except BlockingIOError as e:
                raise AlreadyHeld(str(path)) from e
            os.ftruncate(descriptor, 0)
            os.write(descriptor, b"%d\n" % os.getpid())  # for whoever finds that this process does not reply
            yield
        finally:
            os.close(descriptor)

    async def serve(self, path: Path, handler: Handler) -> LocalServer:
        listener = _bound(path)
        try:
            return await asyncio.start_unix_server(handler, sock=listener)  # type: ignore[attr-defined,no-any-return,unused-ignore]
        except BaseException:
            listener.close()
            raise

    def watch_hangup(self, writer: asyncio.StreamWriter, on_hangup: Callable[[], None]) -> Callable[[], None]:
        return lambda: None


def _bound(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)  # the caller holds this home's lock, so no process serves it
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)  # type: ignore[attr-defined,unused-ignore]
    try:
        listener.bind(str(path))
        path.chmod(0o600)
    except BaseException:
        listener.close()
        raise
    return listener


def _own_uid() -> int:
    return os.getuid()  # type: ignore[attr-defined,no-any-return,unused-ignore]  # absent on win32
