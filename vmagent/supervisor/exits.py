"""Exit records: one small file for each run that has ended and is not acknowledged, in the exec root.

The file is written before the process is reaped. So a status is always in one of two places, the zombie or the file,
and a supervisor killed at any moment leaves it to the next. Nothing is flushed: the exec root ends with the boot.
"""

from __future__ import annotations

import contextlib
import os

from vmagent.linux.compact_json import dumps, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_NAME = "exit.json"


def write(folder: str, record: dict[str, Any]) -> None:
    """Put `record` into the container's `folder` of the exec root, whole or not at all. Raises OSError."""
    os.makedirs(folder, mode=0o711, exist_ok=True)
    temporary = f"{folder}/.{_NAME}"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, dumps(record).encode())
    finally:
        os.close(fd)
    os.rename(temporary, f"{folder}/{_NAME}")


def remove(folder: str) -> None:
    """Forget the record, and the folder if nothing else is in it. Idempotent."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{folder}/{_NAME}")
    with contextlib.suppress(OSError):  # the engine's files of the container are in there: it removes them
        os.rmdir(folder)


def read_all(parent: str) -> list[dict[str, Any]]:
    """Every record below `parent`. A file that can't be read as one is left alone."""
    records = []
    try:
        names = os.listdir(parent)
    except FileNotFoundError:
        return []
    for name in names:
        try:
            fd = os.open(f"{parent}/{name}/{_NAME}", os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            continue
        try:
            records.append(loads(os.read(fd, 65536).decode()))
        except ValueError:
            continue
        finally:
            os.close(fd)
    return records
