"""How long `cove version` takes from process start to exit: the median of 20, beside a bare interpreter.

    .venv/bin/python tests/bench/cli_start.py

A program, not a test: a test of a time fails on a busy machine. The budget (100 ms) is held by a test that counts the
modules the command line imports.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROUNDS = 20


def measure(command: list[str]) -> list[float]:
    times = []
    environment = {**os.environ, "COVE_HOST": "unix:///nonexistent/engine.sock"}
    for _ in range(ROUNDS + 1):
        began = time.perf_counter()
        subprocess.run(command, env=environment, capture_output=True, check=False)
        times.append((time.perf_counter() - began) * 1000)
    return times[1:]


def main() -> int:
    cove = str(Path(sys.executable).with_name("cove"))
    for name, command in (
        ("python -I -c pass", [sys.executable, "-I", "-c", "pass"]),
        ("cove version", [cove, "version"]),
    ):
        times = measure(command)
        print(f"{name:20} median {statistics.median(times):6.1f} ms   min {min(times):6.1f}   max {max(times):6.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
