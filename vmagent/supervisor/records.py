"""Two small files of each run in the exec root, for the supervisor that comes after this one.

`exit.json`: the run has ended and is not acknowledged. It is written before the process is reaped; so a status is
always in one of two places, the zombie or the file, and a supervisor killed at any moment leaves it to the next.

`running.json`: it is there only while the keeper has an entry of the run (made after that, removed before). So one
without an entry means that keeper and supervisor were killed together; the next start finds by it the processes that
nobody watches any more.

Both are written under their own names: half of one, left by a kill, is read as none, and says as much (the process is
still there to be reaped, or was never made). Nothing is flushed: the exec root ends with the boot.
"""

from __future__ import annotations

import contextlib
import os

from vmagent.linux.compact_json import dumps, loads
from vmagent.linux.packets import write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

EXIT = "exit.json"
RUNNING = "running.json"
_MAX_BYTES = 65536


def write(folder: str, name: str, record: Mapping[str, Any]) -> None:
    """Put `record` into the container's `folder` of the exec root. Raises OSError."""
    path = f"{folder}/{name}"
    try:
        fd = _create(path)
    except FileNotFoundError:
        os.makedirs(folder, mode=0o711, exist_ok=True)
        fd = _create(path)
    try:
        write_all(fd, dumps(record).encode())
    finally:
        os.close(fd)


def _create(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)


def remove(folder: str, name: str) -> None:
    """Forget the record, and the folder if nothing else is in it. Idempotent."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{folder}/{name}")
    with contextlib.suppress(OSError):  # the engine's files of the container are in there: it removes them
        os.rmdir(folder)


def read_all(parent: str, name: str) -> list[dict[str, Any]]:
    """Every record of that name below `parent`. A file that can't be read as one is left alone."""
    records = []
    try:
        folders = os.listdir(parent)
    except FileNotFoundError:
        return []
    for folder in folders:
        try:
            fd = os.open(f"{parent}/{folder}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            continue
        try:
            records.append(loads(os.read(fd, _MAX_BYTES).decode()))
        except ValueError:
            continue
        finally:
            os.close(fd)
    return records
