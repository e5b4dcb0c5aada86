"""An mkfs.erofs new enough for layers of kind tar: the system's, or Debian 13's unpacked beside the system."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.support.tools import CACHE, ROOT
from vmagent.images import erofs

# erofs-utils 1.8 and the libraries it is linked with; Debian 12 has 1.5.
_LIBRARIES = (
    "libc6 libdeflate0 libfuse3-4 liblz4-1 liblzma5 libselinux1 libuuid1 libzstd1 zlib1g libpcre2-8-0 libxxhash0"
)
_PACKAGES = ("erofs-utils", "libgcc-s1", *_LIBRARIES.split(" "))


@contextlib.contextmanager
def mkfs_erofs() -> Iterator[Path]:
    """The path of an mkfs.erofs 1.8 that the user `nobody` can execute. Raises CalledProcessError."""
    if (own := erofs.tool()) is not None:
        yield Path(own)
        return
    subprocess.run([ROOT / "packaging" / "trixie.sh", CACHE / "erofs-utils", *_PACKAGES], check=True, timeout=300)
    # `nobody` can traverse neither root's cache nor pytest's folders.
    folder = Path(tempfile.mkdtemp(prefix="cvt-erofs-", dir="/tmp"))
    try:
        folder.chmod(0o755)
        shutil.copytree(CACHE / "erofs-utils" / "usr", folder / "usr", symlinks=True)
        [loader] = (folder / "usr" / "lib").glob("*-linux-gnu/ld-linux-*")
        script = folder / "mkfs.erofs"
        script.write_text(f'#!/bin/sh\nexec {loader} --library-path {loader.parent} {folder}/usr/bin/mkfs.erofs "$@"\n')
        script.chmod(0o755)
        yield script
    finally:
        shutil.rmtree(folder)
