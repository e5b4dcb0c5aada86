"""An address of this machine that is not loopback, so that clients treat what listens there as any other host."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator


@contextlib.contextmanager
def address_on_lo() -> Iterator[str]:
    """An address of the network for benchmarks (RFC 2544) on `lo`, one a process. Its traffic stays here."""
    number = os.getpid() % 65_000
    address = f"198.18.{number // 250 + 1}.{number % 250 + 1}"
    subprocess.run(["ip", "address", "add", f"{address}/32", "dev", "lo"], check=True)
    try:
        yield address
    finally:
        subprocess.run(["ip", "address", "del", f"{address}/32", "dev", "lo"], check=True)
