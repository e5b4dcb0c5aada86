"""The VM's size: from the settings file, with defaults that fit this machine."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NamedTuple

from desktop.vm.errors import VmError

DEFAULT_MEMORY_MB = 2048
DEFAULT_SAVE_AFTER_MIN = 5
DEFAULT_DISK_GB = 64  # the file grows as it is filled, and shrinks when things are removed
_SMALLEST_MEMORY_MB = 384  # the system and engine use 125; a container must fit beside them
_LARGEST_CPUS = 4


class VmSettings(NamedTuple):
    """What the user may choose. Kept in config.json as "memory_mb", "cpus", "disk_gb", "accelerator" and
    "save_after_minutes" under "vm"."""

    memory_mb: int
    cpus: int
    disk_gb: int
    accelerator: str | None  # None: the best that works
    save_after_s: float | None  # an idle VM is saved then; None: never


def load_settings(config_file: Path, machine_memory_mb: int) -> VmSettings:
    """The settings in `config_file`, which need not exist. Raises VmError for an invalid value."""
    try:
        config = json.loads(config_file.read_text())
    except FileNotFoundError:
        config = {}
    except (OSError, ValueError) as e:
        raise VmError(f"the settings can't be read: {config_file}: {e}") from e
    chosen = config.get("vm", {}) if isinstance(config, dict) else {}
    if not isinstance(chosen, dict):
        raise VmError(f"the settings can't be read: {config_file}: “vm” is not an object")
    machine_cpus = os.cpu_count() or 1
    memory_mb = min(DEFAULT_MEMORY_MB, max(machine_memory_mb // 2, _SMALLEST_MEMORY_MB))
    save_after_min = _number(chosen, "save_after_minutes", DEFAULT_SAVE_AFTER_MIN, 0, 1 << 20, config_file)
    settings = VmSettings(
        memory_mb=_whole(chosen, "memory_mb", memory_mb, _SMALLEST_MEMORY_MB, 1 << 24, config_file),
        cpus=_whole(chosen, "cpus", min(machine_cpus, _LARGEST_CPUS), 1, 255, config_file),
        disk_gb=_whole(chosen, "disk_gb", DEFAULT_DISK_GB, 1, 1 << 20, config_file),
        accelerator=chosen.get("accelerator"),
        save_after_s=save_after_min * 60 or None,
    )
    if settings.accelerator not in (None, "kvm", "hvf", "whpx", "tcg"):
        raise VmError(
            f"no accelerator {settings.accelerator!r} (vm.accelerator in {config_file})", "Use kvm, hvf, whpx or tcg"
        )
    return settings


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


def _whole(chosen: dict[str, object], key: str, default: int, least: int, most: int, file: Path) -> int:
    value = _number(chosen, key, default, least, most, file)
    if not isinstance(value, int):
        raise VmError(f"vm.{key} in {file} must be a whole number, not {value!r}")
    return value


def _number(chosen: dict[str, object], key: str, default: int, least: int, most: int, file: Path) -> int | float:
    value = chosen.get(key, default)
    if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
        raise VmError(f"vm.{key} in {file} must be a number from {least} to {most}, not {value!r}")
    return value
