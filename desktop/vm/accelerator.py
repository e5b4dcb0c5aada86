"""The choice of QEMU's accelerator. Each candidate boots a kernel: that its device opens does not prove that it works.

With nested or partly disabled virtualisation the device may open and the guest then be very slow: a KVM was seen whose
guest printed its first character after 19 s, where emulation takes 1 s. So each candidate boots our kernel without
disks, and must print its first character and reach the initrd within limits; else emulation (TCG) is used. The result
is kept until this machine boots again, or QEMU or the image changes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from desktop.platform.base import Platform
from desktop.vm.command import Hardware, probe_command
from desktop.vm.errors import VmError
from desktop.vm.image import GuestImage
from desktop.vm.qemu import Qemu

FIRST_WORD_LIMIT_S = 2.0
BOOT_LIMIT_S = 6.0
END_LIMIT_S = 5.0
_PROBE_MEMORY_MB = 256
_DONE = b"cove-probe"


class Accelerator(NamedTuple):
    """QEMU's name of an accelerator, and the reason for the choice, for the user."""

    name: str
    why: str


class ProbeResult(NamedTuple):
    """The result for a candidate: `why` is the time that it took, or the reason why it is not used."""

    works: bool
    why: str


Probe = Callable[[str], Awaitable[ProbeResult]]


async def choose_accelerator(
    platform: Platform, remembered: Path, identity: str, probe: Probe, wanted: str | None, hint: str = ""
) -> Accelerator:
    """The best accelerator that works here. `identity` names QEMU and image; `wanted` is the user's own choice. Raises
    VmError with `hint` if that does not work."""
    if wanted == "tcg":
        return Accelerator(wanted, "chosen in the settings")
    key: dict[str, object] = {"schema": 1, "boot_id": platform.boot_id(), "identity": identity, "wanted": wanted}
    if (known := recall(remembered, key)) is not None:
        return known
    chosen = await (_first_that_works(platform, probe) if wanted is None else _forced(platform, probe, wanted, hint))
    _remember(remembered, key, chosen)
    return chosen


def recall(remembered: Path, key: Mapping[str, object] | None = None) -> Accelerator | None:
    """The choice that was made last; None if it was made for another `key` (None: any will do), or none was made."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        found = json.loads(remembered.read_text())
        if key is None or {name: found.get(name) for name in key} == key:
            return Accelerator(str(found["name"]), str(found["why"]))
    return None


def _remember(remembered: Path, key: dict[str, object], chosen: Accelerator) -> None:
    remembered.write_text(json.dumps({**key, "name": chosen.name, "why": chosen.why}) + "\n")


async def _forced(platform: Platform, probe: Probe, wanted: str, hint: str) -> Accelerator:
    obstacle = platform.accelerator_obstacle(wanted) if wanted in platform.accelerators else None
    result = ProbeResult(False, obstacle) if obstacle else await probe(wanted)
    if not result.works:
        raise VmError(f"the accelerator {wanted}, which the settings ask for, does not work here: {result.why}", hint)
    return Accelerator(wanted, "chosen in the settings")


async def _first_that_works(platform: Platform, probe: Probe) -> Accelerator:
    reasons = []
    for name in platform.accelerators:
        if obstacle := platform.accelerator_obstacle(name):
            reasons.append(obstacle)
            continue
        result = await probe(name)
        if result.works:
            return Accelerator(name, result.why)
        reasons.append(result.why)
    return Accelerator("tcg", "; ".join([*reasons, "so the processor is emulated"]))


async def probe_by_boot(name: str, qemu: Qemu, image: GuestImage) -> ProbeResult:
    """Boot the kernel with accelerator `name` and time it."""
    hardware = Hardware(image.architecture, name, _PROBE_MEMORY_MB, 1)
    started = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *probe_command(qemu.system, hardware, image),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    said, ending = bytearray(), False
    try:
        while _DONE not in said:
            limit_s = BOOT_LIMIT_S if said else FIRST_WORD_LIMIT_S
            try:
                async with asyncio.timeout(started + limit_s - time.monotonic()):
                    chunk = await process.stdout.read(4096)
            except TimeoutError:
                what = "did not boot" if said else "said nothing"
                return ProbeResult(False, f"{name} opens, but a guest {what} within {limit_s:g} s")
            if not chunk:
                ending = True
                break
            said += chunk
    finally:
        # Wait first for a QEMU that is ending by itself: `kill` polls the process, and would take its exit status from
        # asyncio's child watcher.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_LIMIT_S if ending else 0):
                await process.wait()
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        _, errors = await process.communicate()
    if _DONE in said:
        return ProbeResult(True, f"a guest booted in {time.monotonic() - started:.1f} s")
    lines = errors.decode(errors="replace").strip().splitlines()
    # "qemu-system-x86_64: ../../target/i386/kvm/kvm.c:3183: message": its source line does not help the user.
    reason = re.sub(r"^\S*qemu-system-\S+: (\S+:\d+: )?", "", lines[-1]) if lines else "it said nothing"
    return ProbeResult(False, f"QEMU can't use {name} here: {reason}")
