"""Compile the static programs for every architecture with the compiler that PyPI's `ziglang` carries.

Run as `python -m vmagent.native.build`: does nothing where the programs are newer than their sources.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from vmagent.native import ARCHITECTURES, PROGRAMS

HERE = Path(__file__).parent
# -ffreestanding-like size flags; musl comes with the compiler, so nothing of the build machine gets in.
FLAGS = ("-static", "-Os", "-s", "-Wall", "-Wextra", "-Werror", "-fno-sanitize=all", "-std=c11")


def build(name: str, arch: str) -> Path:
    """Compile one program unless it is up to date; the path of the result. Raises CalledProcessError."""
    target = HERE / "bin" / f"{name}-{arch}"
    folder = HERE / name  # a program of several sources has a folder
    sources = sorted(folder.glob("*.c")) if folder.is_dir() else [HERE / f"{name}.c"]
    newest = max(path.stat().st_mtime for path in [*sources, *folder.glob("*.h")])
    if target.exists() and target.stat().st_mtime >= newest:
        return target
    target.parent.mkdir(exist_ok=True)
    made = target.with_suffix(f".{os.getpid()}")
    compiler = [sys.executable, "-m", "ziglang", "cc", "-target", f"{arch}-linux-musl"]
    subprocess.run([*compiler, *FLAGS, "-o", str(made), *map(str, sources)], check=True)
    made.chmod(0o755)
    made.rename(target)
    return target


def main() -> int:
    for name in PROGRAMS:
        for arch in ARCHITECTURES:
            build(name, arch)
    return 0


if __name__ == "__main__":
    sys.exit(main())
