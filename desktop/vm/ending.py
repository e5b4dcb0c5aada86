"""Why a VM ended that nobody stopped, from QEMU's events, the guest's marks and what its console said last."""

from __future__ import annotations

import re
import signal
from pathlib import Path

from desktop.vm.errors import KernelPanic, VmError
from desktop.vm.marks import LOGS_HINT
from desktop.vm.qmp import QmpSession

SHOWN_LINES = 6
_READ_BYTES = 64 * 1024
_PANIC = re.compile(r"Kernel panic - not syncing: *(.*)")
_STAMP = re.compile(r"^\[ *\d+\.\d+\] ?")


def why_it_ended(qmp: QmpSession, powered_off: bool, console_log: Path, exit_status: int | None = None) -> VmError:
    """Blocks: reads the end of the console's log. `powered_off`: the guest has reported that it is about to.
    `exit_status`: QEMU's, if that is known; negative: the signal that killed it."""
    said = _last_lines(console_log)
    if "GUEST_PANICKED" in qmp.last_events or (not powered_off and any(_PANIC.search(line) for line in said)):
        return panic(said)
    if qmp.shutdown_reason == "guest-reset":
        return VmError("the VM restarted itself", LOGS_HINT, tuple(said[-SHOWN_LINES:]))
    if powered_off or qmp.shutdown_reason == "guest-shutdown":
        return VmError("the VM powered itself off", "Start it again: cove vm start")
    how = f"was killed ({_signal_name(-exit_status)})" if exit_status and exit_status < 0 else "ended unexpectedly"
    return VmError(f"the VM's QEMU process {how}", "Start it again: cove vm start")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def panic(said: list[str]) -> KernelPanic:
    """The error for a panic of the guest's kernel, which is in the lines that its console said last."""
    at = next((index for index, line in enumerate(said) if _PANIC.search(line)), None)
    if at is None:
        return KernelPanic("the VM's kernel panicked", LOGS_HINT, tuple(said[-SHOWN_LINES:]))
    found = _PANIC.search(said[at])
    assert found is not None
    return KernelPanic(f"the VM's kernel panicked: {found[1]}", LOGS_HINT, tuple(said[at : at + SHOWN_LINES]))


def _last_lines(console_log: Path) -> list[str]:
    try:
        with open(console_log, "rb") as file:
            file.seek(max(0, file.seek(0, 2) - _READ_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return [_STAMP.sub("", line).rstrip() for line in text.splitlines() if line.strip()]
