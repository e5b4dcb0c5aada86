"""Compile the static programs for every architecture with the compiler that PyPI's `ziglang` carries.

Run as `python -m vmagent.native.build`: does nothing where the programs are newer than their sources. The header that
`vmagent.native.header` makes is written beside the programs first.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from vmagent.native import ARCHITECTURES, PROGRAMS
from vmagent.native.header import header

HERE = Path(__file__).parent
HEADER = HERE / "bin" / "spawner_fields.h"
# -ffreestanding-like size flags; musl comes with the compiler, so nothing of the build machine gets in.
FLAGS = ("-static", "-Os", "-s", "-Wall", "-Wextra", "-Werror", "-fno-sanitize=all", "-std=c11")


def build(name: str, arch: str) -> Path:
    """Compile one program unless it is up to date; the path of the result. Raises CalledProcessError."""
    target = HERE / "bin" / f"{name}-{arch}"
    folder = HERE / name  # a program of several sources has a folder
    sources = sorted(folder.glob("*.c")) if folder.is_dir() else [HERE / f"{name}.c"]
    headers = [*folder.glob("*.h"), write_header()] if folder.is_dir() else []
    newest = max(path.stat().st_mtime for path in [*sources, *headers])
    if target.exists() and target.stat().st_mtime >= newest:
        return target
    target.parent.mkdir(exist_ok=True)
    made = target.with_suffix(f".{os.getpid()}")
    compiler = [sys.executable, "-m", "ziglang", "cc", "-target", f"{arch}-linux-musl"]
    subprocess.run([*compiler, *FLAGS, f"-I{HEADER.parent}", "-o", str(made), *map(str, sources)], check=True)
    made.chmod(0o755)
    made.rename(target)
    return target


def write_header() -> Path:
    """Write the generated header unless it says the same already. Raises OSError."""
    text = header()
    if not HEADER.exists() or HEADER.read_text(encoding="ascii") != text:
        HEADER.parent.mkdir(exist_ok=True)
        temporary = HEADER.with_suffix(f".{os.getpid()}")
        temporary.write_text(text, encoding="ascii")
        temporary.rename(HEADER)
    return HEADER


def main() -> int:
    for name in PROGRAMS:
        for arch in ARCHITECTURES:
            build(name, arch)
    return 0


if __name__ == "__main__":
    sys.exit(main())
