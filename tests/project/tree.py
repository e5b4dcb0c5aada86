"""The project's own files, as git lists them."""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@functools.cache
def tracked() -> tuple[Path, ...]:
    """Every file that git tracks or would add, relative to the repository's root. Sorted."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=True,
    ).stdout  # fmt: skip
    names = {Path(name) for name in listed.decode().split("\0") if name}
    return tuple(sorted(name for name in names if (ROOT / name).is_file()))


def python_files(*folders: str) -> Iterator[Path]:
    """The tracked Python files below `folders`, relative to the root."""
    return (path for path in tracked() if path.suffix == ".py" and path.parts[0] in folders)
