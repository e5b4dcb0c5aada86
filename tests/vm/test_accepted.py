"""Every command line that we make is accepted by the real QEMU of its processor."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from desktop.platform import platform_for
from desktop.platform.base import LocalAddress
from desktop.vm.command import ACCELERATOR_OPTIONS, Disk, Files, Hardware, probe_command, vm_command
from desktop.vm.disk import ensure_disk
from desktop.vm.image import load_image
from desktop.vm.machine import Machine
from desktop.vm.qemu import find_qemu, machine_version
from tests.support.sockets import free_port

pytestmark = pytest.mark.vm


@pytest.fixture
def work() -> Iterator[Path]:
    """A folder whose path is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="cvq-") as folder:
        yield Path(folder)


def emulated(command: list[str]) -> list[str]:
    """`command` for a machine that has not this accelerator: emulation in its place, and a processor that it has."""
    changed = list(command)
    changed[changed.index("-accel") + 1] = ACCELERATOR_OPTIONS["tcg"]
    if changed[changed.index("-cpu") + 1] == "host":
        changed[changed.index("-cpu") + 1] = "max"
    return changed


@pytest.mark.logs("Failed to establish connection")  # QEMU does not listen yet
@pytest.mark.parametrize(
    ("accelerator", "incoming", "disk"),
    [
        ("tcg", False, False),
        ("tcg", False, True),
        ("tcg", True, False),
        ("tcg", True, True),
        ("kvm", False, False),
        ("hvf", False, False),
        ("whpx", False, False),
    ],
)
def test_qemu_accepts_it(each_image: Path, work: Path, accelerator: str, incoming: bool, disk: bool) -> None:
    image = load_image(each_image, work / "verified")
    platform = platform_for("linux")
    qemu = find_qemu(platform, os.environ, image.architecture)
    version = machine_version(qemu, work / "version")
    if disk:
        ensure_disk(qemu, work / "data.qcow2", work / "mark", 1)
    if accelerator == "whpx":  # Windows: ports of the loopback
        qmp, control, tunnel = (LocalAddress(None, free_port()) for _ in range(3))
    else:
        qmp, control, tunnel = (LocalAddress(work / name) for name in ("qmp", "control", "tunnel"))
    files = Files(image, work / "console, log", work / "pid", qmp, control, tunnel)
    hardware = Hardware(image.architecture, accelerator, 512, 2, version)
    command = vm_command(qemu.system, hardware, files, Disk(work / "data.qcow2") if disk else None, incoming=incoming)

    async def scenario() -> None:
        machine = await Machine.launch(platform, emulated(command), work / "qemu.log", qmp, control, tunnel)
        try:
            status = await machine.qmp.execute("query-status")
            assert status["status"] == ("inmigrate" if incoming else "prelaunch")
            await machine.forward()
        finally:
            await machine.quit()

    asyncio.run(scenario())
    assert (work / "qemu.log").read_text() == ""


@pytest.mark.parametrize("accelerator", ["tcg", "kvm"])
def test_qemu_accepts_a_probe(each_image: Path, work: Path, accelerator: str) -> None:
    """It ends by itself as soon as its initrd runs."""
    image = load_image(each_image, work / "verified")
    qemu = find_qemu(platform_for("linux"), os.environ, image.architecture)
    command = emulated(probe_command(qemu.system, Hardware(image.architecture, accelerator, 256, 1), image))
    assert "cove-probe" in asyncio.run(output_of(command))


async def output_of(command: list[str]) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output
    return output.decode(errors="replace")
