"""What a start is going to use: found and checked before QEMU is launched, and the same for every way to start."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from desktop.paths import HostPaths
from desktop.platform.base import Platform
from desktop.tunnel.keys import KeyFiles, ensure_keys
from desktop.vm.accelerator import Accelerator, choose_accelerator, probe_by_boot
from desktop.vm.command import Hardware
from desktop.vm.disk import ensure_disk
from desktop.vm.image import GuestImage, image_folder, load_image
from desktop.vm.machine import Machine
from desktop.vm.qemu import Qemu, find_qemu, machine_version
from desktop.vm.settings import check_memory, load_settings
from desktop.vm.start.saved import fingerprint
from desktop.vm.state import Step, VmState


class Steps(Protocol):
    """Where the steps of a start are reported."""

    def step(self, name: str) -> AbstractContextManager[Step]: ...


@dataclass(frozen=True, slots=True)
class Plan:
    """The parts of one start. `launched` is called as soon as a QEMU runs, so that the caller can end it."""

    platform: Platform
    paths: HostPaths
    keys: KeyFiles
    qemu: Qemu
    image: GuestImage
    accelerator: Accelerator
    hardware: Hardware
    fits: Mapping[str, str]  # what a saved state of this machine depends on
    disk_is_new: bool  # it was made for this home, and never mounted
    steps: Steps
    launched: Callable[[Machine], None]
    notes: list[str] = field(default_factory=list)  # for the user, of things that the start has done


async def make_plan(
    paths: HostPaths,
    platform: Platform,
    environ: Mapping[str, str],
    keys: KeyFiles,
    state: VmState,
    launched: Callable[[Machine], None],
) -> Plan:
    """Check settings, image and memory, choose the accelerator, make keys and disk where they are missing. Sets
    `state`'s accelerator and size. Raises VmError, OSError."""
    total_mb, free_mb = platform.memory_mb()
    settings = load_settings(paths.config_file, total_mb)
    state.memory_mb, state.cpus = settings.memory_mb, settings.cpus
    for folder in (paths.run, paths.vm, paths.console_log.parent):
        platform.private_folder(folder)
    with state.step("image") as step:
        image = await asyncio.to_thread(load_image, image_folder(environ), paths.verified_file)
        qemu = find_qemu(platform, environ, image.architecture)
        check_memory(settings, total_mb, free_mb, paths.config_file)
        step.detail = f"Linux {image.kernel}"
    with state.step("accelerator") as step:
        accelerator = state.accelerator = await choose_accelerator(
            platform,
            paths.accelerator_file,
            f"{qemu.identity} {image.key}",
            lambda name: probe_by_boot(name, qemu, image),
            settings.accelerator,
            f"Remove vm.accelerator from {paths.config_file}: then the best that works is chosen",
        )
        step.detail = accelerator.name
    with state.step("disk") as step:
        await asyncio.to_thread(ensure_keys, keys, paths.known_hosts)
        disk = await asyncio.to_thread(ensure_disk, qemu, paths.data_disk, paths.disk_mark, settings.disk_gb)
        step.detail = disk.did
    version = await asyncio.to_thread(machine_version, qemu, paths.qemu_file)
    hardware = Hardware(image.architecture, accelerator.name, settings.memory_mb, settings.cpus, version)
    fits = await asyncio.to_thread(fingerprint, qemu, image, hardware, keys)
    return Plan(platform, paths, keys, qemu, image, accelerator, hardware, fits, disk.is_new, state, launched)
