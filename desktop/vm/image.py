"""The VM's image: kernel, initrd and read-only root, with a manifest of their sizes and digests."""

from __future__ import annotations

import hashlib
import json
import platform as machine_info
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from desktop.vm.errors import VmError

_REBUILD = "Build it again: make guest (in Cove's source folder), or reinstall Cove"
_ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


class GuestImage(NamedTuple):
    """A whole image. `key` names its content: equal keys, equal bytes."""

    folder: Path
    key: str
    architecture: str  # Debian's word
    kernel: str  # its release

    @property
    def vmlinux(self) -> Path:
        return self.folder / "vmlinux"

    @property
    def initrd(self) -> Path:
        return self.folder / "initrd"

    @property
    def root(self) -> Path:
        return self.folder / "root.erofs"


def host_architecture() -> str:
    """This machine's processor in Debian's word. Raises VmError."""
    machine = machine_info.machine().lower()
    if machine not in _ARCHITECTURES:
        raise VmError(f"no VM for this processor: {machine}", "Cove's VM runs on x86-64 and 64-bit ARM")
    return _ARCHITECTURES[machine]


def image_folder(environ: Mapping[str, str]) -> Path:
    """Where the image for this machine lies: $COVE_GUEST, else beside this package in its source folder."""
    if chosen := environ.get("COVE_GUEST"):
        return Path(chosen)
    return Path(__file__).resolve().parent.parent.parent / "guest" / "build" / host_architecture()


def load_image(folder: Path, verified: Path) -> GuestImage:
    """The image in `folder`. Sizes are checked each time, digests once for files that did not change since: `verified`
    remembers which those were. Raises VmError where a file is missing or damaged."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
        image = GuestImage(folder, manifest["key"], manifest["architecture"], manifest["kernel"])
        files = {str(name): (int(file["size"]), str(file["sha256"])) for name, file in manifest["files"].items()}
    except FileNotFoundError:
        raise VmError(f"the VM's image is missing: no {folder / 'manifest.json'}", _REBUILD) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
        raise VmError(f"the VM's image is damaged: {folder / 'manifest.json'}: {e}", _REBUILD) from e
    stamps: dict[str, list[str | int]] = {}
    for name, (size, sha256) in files.items():
        try:
            found = (folder / name).stat()
        except OSError as e:
            raise VmError(f"the VM's image is missing: {folder / name}: {e.strerror}", _REBUILD) from e
        if found.st_size != size:
            raise VmError(f"the VM's image is damaged: {folder / name} has {found.st_size} bytes, not {size}", _REBUILD)
        stamps[str(folder / name)] = [sha256, found.st_size, found.st_mtime_ns, found.st_ino]
    if _read(verified) == stamps:
        return image
    for name, (_, sha256) in files.items():
        with open(folder / name, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != sha256:
            raise VmError(f"the VM's image is damaged: {folder / name} has another content than it should", _REBUILD)
    verified.write_text(json.dumps(stamps))
    return image


def _read(verified: Path) -> object:
    try:
        return json.loads(verified.read_text())
    except (OSError, ValueError):
        return None  # never verified, or a torn write: verified again
