"""Finding QEMU's programs on this machine."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from desktop.platform.base import Platform
from desktop.vm.errors import VmError

_SYSTEMS = {"amd64": "qemu-system-x86_64", "arm64": "qemu-system-aarch64"}


class Qemu(NamedTuple):
    """QEMU's programs."""

    system: Path
    img: Path

    @property
    def identity(self) -> str:
        """A value that changes when QEMU is replaced."""
        found = self.system.stat()
        return f"{self.system} {found.st_size} {found.st_mtime_ns}"


def find_qemu(platform: Platform, environ: Mapping[str, str], architecture: str) -> Qemu:
    """QEMU for guests of `architecture`, from $COVE_QEMU's folder, PATH or the platform's folders. Raises VmError."""
    return Qemu(_find(_SYSTEMS[architecture], platform, environ), _find("qemu-img", platform, environ))


def _find(name: str, platform: Platform, environ: Mapping[str, str]) -> Path:
    suffix = ".exe" if platform.name == "win32" else ""
    folders = [Path(environ["COVE_QEMU"])] if environ.get("COVE_QEMU") else []
    if not folders:
        if found := shutil.which(name, path=environ.get("PATH")):
            return Path(found)
        folders = list(platform.qemu_folders(environ))
    for folder in folders:
        if (folder / (name + suffix)).is_file():
            return folder / (name + suffix)
    raise VmError(f"QEMU is missing: no {name} on this machine", platform.qemu_hint)
