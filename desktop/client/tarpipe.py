"""A tar that is sent while it is written."""

from __future__ import annotations

import os
import tarfile
import threading
from collections.abc import Callable, Iterator

_PIECE = 256 * 1024


def pieces(write: Callable[[tarfile.TarFile], None]) -> Iterator[bytes]:
    """The tar that `write` fills, in pieces; a thread runs it, so no file has to fit into memory.

    Raises what `write` raises, OSError, TarError.
    """
    read_end, write_end = os.pipe()
    failures: list[Exception] = []

    def fill() -> None:
        try:
            with open(write_end, "wb") as pipe, tarfile.open(fileobj=pipe, mode="w|") as tar:
                write(tar)
        except Exception as e:  # noqa: BLE001  (raised again in the thread of the caller)
            failures.append(e)

    writer = threading.Thread(target=fill, name="tar", daemon=True)
    writer.start()
    with open(read_end, "rb") as pipe:
        while piece := pipe.read(_PIECE):
            yield piece
    writer.join()
    if failures:
        raise failures[0]
