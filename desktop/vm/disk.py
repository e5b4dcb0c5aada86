"""The data disk: one sparse qcow2 file that holds all images, containers and volumes of the VM."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from desktop.vm.errors import VmError
from desktop.vm.qemu import Qemu

QEMU_IMG_LIMIT_S = 30.0


def ensure_disk(qemu: Qemu, path: Path, size_gb: int) -> str:
    """Make the disk if it does not exist, grow it if the settings ask for more. It never shrinks.

    Blocks for tenths of a second. Returns what was done, in a word or two. Raises VmError where the file is no disk of
    ours or can't be made.
    """
    if not path.exists():
        # Renamed when complete: a partial file would look like a damaged disk.
        half = path.with_suffix(".new")
        _qemu_img(qemu, "create", "-q", "-f", "qcow2", str(half), f"{size_gb}G")
        half.replace(path)
        return f"made, {size_gb} GB"
    # --force-share: only the size is read, and a QEMU that still holds the disk must not be an error here.
    told = _qemu_img(qemu, "info", "--force-share", "--output=json", str(path))
    try:
        info = json.loads(told)
        size = int(info["virtual-size"])
    except (ValueError, KeyError, TypeError) as e:
        raise VmError(f"the VM's disk is damaged: {path}: {e}", "Delete it and all it holds: cove vm reset") from e
    if info.get("format") != "qcow2":
        raise VmError(f"the VM's disk is damaged: {path} is not qcow2", "Delete it and all it holds: cove vm reset")
    if size < size_gb << 30:
        _qemu_img(qemu, "resize", "-q", "-f", "qcow2", str(path), f"{size_gb}G")
        return f"grown to {size_gb} GB"
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
