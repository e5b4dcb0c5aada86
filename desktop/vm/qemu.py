"""Finding QEMU's programs on this machine."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from desktop.platform.base import Platform
from desktop.vm.errors import VmError

VERSION_LIMIT_S = 30.0
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


def machine_version(qemu: Qemu, remembered: Path) -> str:
    """QEMU's version as the names of its machines have it, such as "7.2"; kept in `remembered` until QEMU is replaced.
    Blocks. Raises VmError."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        known = json.loads(remembered.read_text())
        if known["identity"] == qemu.identity:
            return str(known["version"])
    try:
        done = subprocess.run(
            [str(qemu.system), "--version"], check=False, capture_output=True, text=True, timeout=VERSION_LIMIT_S
        )
    except (OSError, subprocess.TimeoutExpired) as e:
        raise VmError(f"QEMU does not tell its version: {e}") from e
    found = re.search(r"version (\d+\.\d+)", done.stdout)
    if found is None:
        raise VmError(f"QEMU does not tell its version: {done.stdout.strip() or done.stderr.strip()}")
    remembered.write_text(json.dumps({"identity": qemu.identity, "version": found[1]}) + "\n")
    return found[1]


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
