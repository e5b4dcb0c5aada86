"""The data disk: one sparse qcow2 file that holds all images, containers and volumes of the VM."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

from desktop.vm.errors import DiskInUse, VmError
from desktop.vm.qemu import Qemu

QEMU_IMG_LIMIT_S = 30.0
_LOCK_TRIES, _LOCK_PAUSE_S = 5, 0.2


class DataDisk(NamedTuple):
    """What was found or done."""

    did: str  # in a word or two
    is_new: bool  # it holds nothing yet, and may be formatted


def ensure_disk(qemu: Qemu, path: Path, mark: Path, size_gb: int) -> DataDisk:
    """Make the disk in a home that never had one, grow it if the settings ask for more. It never shrinks. `mark` is a
    file that says that there was one, and whether it was ever mounted: a lost one is not replaced by an empty one.

    Blocks for tenths of a second. Raises VmError where the file is missing, is no disk of ours, or can't be made.
    """
    if not path.exists():
        if mark.exists() and not _is_new(mark):
            raise VmError(
                f"the VM's disk is missing: {path}",
                "Put it back, or begin with an empty one, without the images, containers and volumes: cove vm reset",
            )
        # Renamed when complete: a partial file would look like a damaged disk.
        half = path.with_suffix(".new")
        _qemu_img(qemu, "create", "-q", "-f", "qcow2", str(half), f"{size_gb}G")
        mark.write_text(json.dumps({"is_new": True}) + "\n")
        half.replace(path)
        return DataDisk(f"made, {size_gb} GB", is_new=True)
    _check_unused(qemu, path)
    size = _virtual_bytes(qemu, path)
    if not mark.exists():
        mark_used(mark)
    is_new = _is_new(mark)
    if size < size_gb << 30:
        _qemu_img(qemu, "resize", "-q", "-f", "qcow2", str(path), f"{size_gb}G")
        return DataDisk(f"grown to {size_gb} GB", is_new)
    return DataDisk(_used(path, size), is_new)


def mark_used(mark: Path) -> None:
    """The disk holds data from now on. Raises OSError."""
    half = mark.with_suffix(".new")
    half.write_text(json.dumps({"is_new": False}) + "\n")
    half.replace(mark)


def check_disk(qemu: Qemu, path: Path, mark: Path) -> str:
    """How full the disk is; nothing is changed. Raises VmError where it is missing or damaged."""
    if path.exists():
        return _used(path, _virtual_bytes(qemu, path))
    if mark.exists() and not _is_new(mark):
        raise VmError(f"the VM's disk is missing: {path}", "Put it back, or begin with an empty one: cove vm reset")
    return "not made yet"


def _check_unused(qemu: Qemu, path: Path) -> None:
    """Raises DiskInUse if another QEMU has the disk open. One that has just ended is given a moment."""
    for tries in range(_LOCK_TRIES):
        try:
            _qemu_img(qemu, "info", str(path))
        except VmError as e:
            if "another process" not in str(e):  # qemu-img: Is another process using the image?
                return  # reported in its own words later
            if tries + 1 == _LOCK_TRIES:
                raise DiskInUse(f"another QEMU uses the VM's disk {path}", "End it, or choose another COVE_HOME") from e
            time.sleep(_LOCK_PAUSE_S)
        else:
            return


def _is_new(mark: Path) -> bool:
    try:
        return bool(json.loads(mark.read_text())["is_new"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _virtual_bytes(qemu: Qemu, path: Path) -> int:
    # --force-share: only the size is read, and a QEMU that still holds the disk must not be an error here.
    told = _qemu_img(qemu, "info", "--force-share", "--output=json", str(path))
    try:
        info = json.loads(told)
        size = int(info["virtual-size"])
    except (ValueError, KeyError, TypeError) as e:
        raise VmError(f"the VM's disk is damaged: {path}: {e}", "Delete it and all it holds: cove vm reset") from e
    if info.get("format") != "qcow2":
        raise VmError(f"the VM's disk is damaged: {path} is not qcow2", "Delete it and all it holds: cove vm reset")
    return size


def _used(path: Path, size: int) -> str:
    used = os.stat(path)
    blocks = getattr(used, "st_blocks", None)  # absent on Windows
    taken = blocks * 512 if blocks is not None else used.st_size
    return f"{taken / 1e9:.1f} of {size / (1 << 30):.0f} GB used"


def _qemu_img(qemu: Qemu, *words: str) -> str:
    try:
        done = subprocess.run(
            [str(qemu.img), *words], check=False, capture_output=True, text=True, timeout=QEMU_IMG_LIMIT_S
        )
    except subprocess.TimeoutExpired as e:
        raise VmError(f"qemu-img {words[0]} takes longer than {QEMU_IMG_LIMIT_S:.0f} s") from e
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise VmError(f"the VM's disk: {lines[-1] if lines else 'qemu-img ' + words[0] + ' failed'}")
    return done.stdout
