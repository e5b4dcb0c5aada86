"""The probe program: built once, put into an image, and its report taken apart."""

from __future__ import annotations

import functools
import hashlib
import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path

from tests.support.tools import CACHE, busybox_tar

SOURCES = Path(__file__).parent
_FLAGS = ("-target", "x86_64-linux-musl", "-static", "-Os", "-s", "-Wall", "-Wextra", "-Werror", "-std=gnu11")

Report = Mapping[tuple[str, str], str]  # (section, name) → what was found


@functools.cache
def program(name: str, *more: str) -> Path:
    """The static program made of `name`.c, from the cache if its source is the same. Raises CalledProcessError."""
    source = SOURCES / f"{name}.c"
    digest = hashlib.sha256(source.read_bytes() + repr((_FLAGS, more)).encode()).hexdigest()[:16]
    target = CACHE / "security" / f"{name}-{digest}"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        made = target.with_suffix(f".{os.getpid()}")
        compiler = [sys.executable, "-m", "ziglang", "cc", *_FLAGS, "-fno-sanitize=all", *more]
        subprocess.run([*compiler, "-o", str(made), str(source)], check=True, timeout=280)
        made.chmod(0o755)
        made.rename(target)
    return target


def image_tar(path: Path, extra: Mapping[str, Path]) -> Path:
    """Write a root file system at `path`: busybox, and `extra` programs by their absolute place."""
    busybox_tar(path)
    with tarfile.open(path, "a") as tar:
        for place, program_path in extra.items():
            data = program_path.read_bytes()
            info = tarfile.TarInfo(place.lstrip("/"))
            info.size, info.mode = len(data), 0o755
            tar.addfile(info, io.BytesIO(data))
    return path


def parse(text: str) -> Report:
    """The probe's lines. Raises AssertionError if it did not come to its end."""
    found: dict[tuple[str, str], str] = {}
    for line in text.splitlines():
        section, name, value = line.split("\t", 2)
        found[section, name] = value
    assert found.pop(("end", "-"), None), f"the probe broke off:\n{text[-2000:]}"
    return found
