"""Getting a file to the disk by its name."""

from __future__ import annotations

import os
from pathlib import Path


def flush_file(path: Path) -> None:
    """fdatasync(2) by name. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fdatasync(fd)
    finally:
        os.close(fd)
