"""Two small files per run in the exec root, by which the next supervisor continues after this one was killed.

`exit.json` exists while a run has ended and is not acknowledged. It is written before the process is reaped, so the
exit status is always in the zombie process or in the file.

`running.json` exists only while the keeper has an entry of the run: it is created after the entry and removed before
it. A file without an entry therefore means that keeper and supervisor were killed together; by the file the next
supervisor finds the container's processes, which no other process watches.

Both are written in place, without rename(2). A file that a kill left half-written is ignored; that is correct, because
then the process has not been reaped, or was not created. There is no fsync: the exec root does not outlive a boot.
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
    """Write `record` as JSON into the container's `folder` of the exec root, made if needed. Raises OSError."""
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
    """Delete the record, and the folder if it is empty then. Idempotent."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{folder}/{name}")
    with contextlib.suppress(OSError):  # ENOTEMPTY: the engine has files of the container there, and removes them
        os.rmdir(folder)


def read_all(parent: str, name: str) -> list[dict[str, Any]]:
    """All records called `name` in the folders of `parent`. A file that is not valid JSON is ignored."""
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
