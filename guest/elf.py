"""What the build must know of programs for another processor, which it can't run: the libraries that they need. And
their size without what only a debugger reads."""

from __future__ import annotations

import re
import struct
import subprocess
from collections.abc import Iterable
from pathlib import Path

# The head of a 64-bit little-endian ELF file (gABI, "ELF Header"), and one program header.
_HEAD = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_PT_LOAD = 1


def libraries(files: Iterable[Path], folder: Path) -> set[str]:
    """File names of the shared libraries that `files` need, and those libraries in turn, as far as they are in
    `folder`. Raises CalledProcessError where one of them is no ELF file."""
    found: set[str] = set()
    fresh = list(files)
    while fresh:
        names = _needed(fresh) - found
        found |= names
        fresh = [folder / name for name in names if (folder / name).exists()]
    return found


def _needed(files: list[Path]) -> set[str]:
    listing = subprocess.run(["readelf", "-dW", *map(str, files)], check=True, capture_output=True, text=True).stdout
    return set(re.findall(r"\(NEEDED\)\s+Shared library: \[([^]]+)\]", listing))


def stripped(data: bytes) -> bytes:
    """A program or library without what lies behind the parts that are loaded: debug information, symbol tables, and
    the section headers that name them. Loaders read program headers only. Raises ValueError."""
    if data[:6] != b"\x7fELF\x02\x01":
        raise ValueError("no 64-bit little-endian ELF file")
    head = list(_HEAD.unpack_from(data))
    offset, size, count = head[5], head[9], head[10]
    segments = [_SEGMENT.unpack_from(data, offset + i * size) for i in range(count)]
    end = max(start + length for kind, _, start, _, _, length, _, _ in segments if kind == _PT_LOAD)
    end = max(end, offset + count * size)
    head[6] = head[12] = head[13] = 0  # where the section headers are, how many, and which has their names
    return _HEAD.pack(*head) + data[_HEAD.size : end]
