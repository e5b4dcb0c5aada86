"""The VM's size: from the settings file, with defaults that fit this machine."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NamedTuple

from desktop.settings.table import SETTINGS, Machine
from desktop.vm.errors import VmError


class VmSettings(NamedTuple):
    """What the user may choose. Kept in config.json as "memory_mb", "cpus", "disk_gb", "accelerator" and
    "save_after_minutes" under "vm"."""

    memory_mb: int
    cpus: int
    disk_gb: int
    accelerator: str | None  # None: the best that works
    save_after_s: float | None  # an idle VM is saved then; None: never


_MEND = "Mend the file, or move it away: then the defaults hold"


def load_settings(config_file: Path, machine_memory_mb: int) -> VmSettings:
    """The settings in `config_file`, which need not exist. Raises VmError for an invalid value."""
    try:
        config = json.loads(config_file.read_text())
    except FileNotFoundError:
        config = {}
    except (OSError, ValueError) as e:
        raise VmError(f"the settings can't be read: {config_file}: {e}", _MEND) from e
    chosen = config.get("vm", {}) if isinstance(config, dict) else {}
    if not isinstance(chosen, dict):
        raise VmError(f"the settings can't be read: {config_file}: “vm” is not an object", _MEND)
    machine = Machine(machine_memory_mb, os.cpu_count() or 1)
    accelerator = chosen.get("accelerator")
    if accelerator not in (None, *SETTINGS["vm.accelerator"].words):
        raise VmError(f"no accelerator {accelerator!r} (vm.accelerator in {config_file})", "Use kvm, hvf, whpx or tcg")
    return VmSettings(
        memory_mb=_whole(chosen, "memory_mb", machine, config_file),
        cpus=_whole(chosen, "cpus", machine, config_file),
        disk_gb=_whole(chosen, "disk_gb", machine, config_file),
        accelerator=accelerator,
        save_after_s=_number(chosen, "save_after_minutes", machine, config_file) * 60 or None,
    )


def check_memory(settings: VmSettings, machine_mb: int, free_mb: int, config_file: Path) -> None:
    """Raises VmError if the VM does not fit. QEMU allocates memory as the guest uses it and returns what the guest
    frees, so the host must have all of it in total, but only half of it free now."""
    hint = f"Close something, or set vm.memory_mb lower in {config_file}"
    if settings.memory_mb > machine_mb:
        raise VmError(
            f"not enough memory: the VM is set to {settings.memory_mb} MB, this machine has {machine_mb}", hint
        )
    if free_mb < settings.memory_mb // 2:
        raise VmError(f"not enough memory: the VM is set to {settings.memory_mb} MB and {free_mb} MB are free", hint)


def _whole(chosen: dict[str, object], key: str, machine: Machine, file: Path) -> int:
    value = _number(chosen, key, machine, file)
    if not isinstance(value, int):
        raise VmError(f"vm.{key} in {file} must be a whole number, not {value!r}")
    return value


def _number(chosen: dict[str, object], key: str, machine: Machine, file: Path) -> int | float:
    """The value, or the setting's default. Raises VmError."""
    setting = SETTINGS[f"vm.{key}"]
    value = chosen.get(key, setting.default(machine))
    least, most = setting.least or 0, setting.most
    if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
        raise VmError(f"vm.{key} in {file} must be a number from {least} to {most}, not {value!r}")
    return value
