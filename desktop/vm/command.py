"""QEMU's command line: pure functions of values, so every platform's is tested everywhere.

The hardware that the guest sees (machine, processor, memory, devices and their order) depends on `Hardware` alone, and
not on the sockets and files of one run: a saved state can only be restored on the same hardware.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from desktop.platform.base import LocalAddress, escaped
from desktop.vm.image import GuestImage

CONTROL_PORT = "cove.control"
TUNNEL_PORT = "cove.tunnel"
DATA_SERIAL = "cove-data"

# Turns off what this guest's kernel does not need; together this makes the boot 0.75 s faster. loglevel=1: with 0 the
# kernel is silent even when it panics.
_KERNEL = (
    "quiet loglevel=1 panic=-1 audit=0 selinux=0 apparmor=0 lsm= cryptomgr.notests random.trust_cpu=on no_timer_check "
    "rcupdate.rcu_expedited=1 nowatchdog cove.vm=1"
)
# tsc=watchdog: on a busy host the kernel measures the emulated counter wrongly (13 times too fast was seen), and only
# its watchdog then finds out and takes another clock.
_KERNEL_X86 = "console=ttyS0 8250.nr_uarts=1 noreplace-smp tsc=watchdog"
_KERNEL_ARM = "console=ttyAMA0"
# Emulated, the guest's processor has no speculation to guard against, and address randomisation only costs.
_KERNEL_EMULATED = "mitigations=off nokaslr"

ACCELERATOR_OPTIONS = {
    "kvm": "kvm",
    "hvf": "hvf",
    "whpx": "whpx,kernel-irqchip=off",
    # Without a bound the buffer of translated code grows with all that the guest has ever run, up to a gigabyte.
    "tcg": "tcg,thread=multi,tb-size=64",
}


DATA_SLOT = "data-slot"
# The guest's memory, as QEMU names it in a saved state.
_MEMORY = {"amd64": "pc.ram", "arm64": "mach-virt.ram"}


class Hardware(NamedTuple):
    """The machine that the guest sees."""

    architecture: str  # amd64 or arm64
    accelerator: str  # a key of ACCELERATOR_OPTIONS
    memory_mb: int
    cpus: int
    # "7.2": the machine is that of this version of QEMU, also under a later one. "": the newest that QEMU has.
    version: str = ""

    @property
    def memory(self) -> str:
        """The name of its memory in a saved state."""
        return _MEMORY[self.architecture]


class Files(NamedTuple):
    """Files and sockets of one run, on the host."""

    image: GuestImage
    console_log: Path
    pid_file: Path
    qmp: LocalAddress
    control: LocalAddress
    tunnel: LocalAddress
    memory: Path | None = None  # what the guest's memory holds at first; QEMU changes this file


class Disk(NamedTuple):
    """The data disk as QMP takes it: the arguments of `blockdev-add` and of `device_add`."""

    file: Path

    def backend(self) -> dict[str, object]:
        return {
            "driver": "qcow2",
            "node-name": "data",
            "discard": "unmap",
            "detect-zeroes": "unmap",
            "file": {"driver": "file", "filename": str(self.file), "aio": "threads", "discard": "unmap"},
        }

    def device(self) -> dict[str, object]:
        return {
            "driver": "virtio-blk-pci",
            "id": "data",
            "bus": DATA_SLOT,
            "drive": "data",
            "serial": DATA_SERIAL,
            "write-cache": "on",
            "werror": "enospc",
        }


def vm_command(
    qemu: Path,
    hardware: Hardware,
    files: Files,
    disk: Disk | None = None,
    *,
    incoming: bool = False,
) -> list[str]:
    """The command of the VM. The processor is stopped at first (-S), so that no output of the guest is lost. No port of
    the host is opened yet. `disk`: the data disk is in its slot already; otherwise it is plugged in later. `incoming`:
    the machine waits for a saved state."""
    read_only = f"if=none,id=root,format=raw,readonly=on,file={escaped(str(files.image.root))}"
    is_amd64 = hardware.architecture == "amd64"
    return [
        *_machine(qemu, hardware, files.image, _kernel_words(hardware), files.memory),
        "-name", "cove",
        "-S",
        # A guest that panics or restarts ends QEMU, which says why; the host agent starts it again.
        "-action", "panic=shutdown,reboot=shutdown",
        "-pidfile", str(files.pid_file),
        "-chardev", f"socket,id=qmp,server=on,wait=off,{files.qmp.chardev()}",
        "-mon", "chardev=qmp,mode=control",
        "-chardev", f"file,id=console,path={escaped(str(files.console_log))}",
        "-serial", "chardev:console",
        "-drive", read_only,
        "-device", "virtio-blk-pci,drive=root",
        "-netdev", "user,id=net",
        "-device", "virtio-net-pci,netdev=net,romfile=",
        "-device", "virtio-rng-pci",
        "-device", "virtio-serial-pci",
        "-chardev", f"socket,id=control,server=on,wait=off,{files.control.chardev()}",
        "-device", f"virtserialport,chardev=control,name={CONTROL_PORT}",
        "-chardev", f"socket,id=tunnel,server=on,wait=off,{files.tunnel.chardev()}",
        "-device", f"virtserialport,chardev=tunnel,name={TUNNEL_PORT}",
        # Memory that the guest frees goes back to the host by itself, within about ten seconds.
        "-device", "virtio-balloon-pci,free-page-reporting=on",
        # QEMU has no vmgenid for ARM: there the entropy sent after a restore must do.
        *(("-device", "vmgenid,guid=auto") if is_amd64 else ()),
        "-device", "pvpanic-pci",
        # The root complex itself takes no device while the machine runs; this port does.
        "-device", f"pcie-root-port,id={DATA_SLOT},chassis=1,slot=1",
        *(("-blockdev", json.dumps(disk.backend()), "-device", json.dumps(disk.device())) if disk else ()),
        *(("-incoming", "defer") if incoming else ()),
    ]  # fmt: skip


def probe_command(qemu: Path, hardware: Hardware, image: GuestImage) -> list[str]:
    """A machine that boots kernel and initrd, says `cove-probe` on its console, which is QEMU's standard output, and
    powers off. It needs no disk."""
    words = _kernel_words(hardware).replace("quiet loglevel=1", "loglevel=7") + " cove.probe=1"
    return [
        *_machine(qemu, hardware, image, words),
        "-chardev",
        "stdio,id=console",
        "-serial",
        "chardev:console",
    ]


def _machine(
    qemu: Path, hardware: Hardware, image: GuestImage, kernel_words: str, memory: Path | None = None
) -> list[str]:
    emulated = hardware.accelerator == "tcg"
    if hardware.architecture == "arm64":
        # `max` has atomic instructions: cortex-a72 has loops in their place, and the engine loads half as fast. Pointer
        # authentication by QEMU's own function: the architecture's would take most of the time.
        machine, cpu = "virt", "max,pauth-impdef=on" if emulated else "host"
    else:
        # `max` under emulation, never `host`: it has AES, SHA and AVX, which make SSH's crypto cheaper. Without `erms`:
        # its REP MOVSB, by which Linux and glibc then copy, is emulated byte by byte.
        machine, cpu = "q35", "max,erms=off" if emulated else "host"
    if hardware.version:
        machine = f"pc-q35-{hardware.version}" if machine == "q35" else f"{machine}-{hardware.version}"
    backend: list[str] = []
    if memory is not None:
        # Mapped privately: what the guest writes stays out of the file, but free page reporting punches holes into it.
        machine += f",memory-backend={hardware.memory}"
        backend = ["-object", f"memory-backend-file,id={hardware.memory},size={hardware.memory_mb}M,share=off,"
                   f"x-use-canonical-path-for-ramblock-id=off,mem-path={escaped(str(memory))}"]  # fmt: skip
    return [
        str(qemu),
        "-nodefaults",
        "-no-user-config",
        "-display", "none",
        *backend,
        "-M", machine,
        "-accel", ACCELERATOR_OPTIONS[hardware.accelerator],
        "-cpu", cpu,
        "-smp", str(hardware.cpus),
        "-m", str(hardware.memory_mb),
        "-kernel", str(image.vmlinux),
        "-initrd", str(image.initrd),
        "-append", kernel_words,
    ]  # fmt: skip


def _kernel_words(hardware: Hardware) -> str:
    words = [_KERNEL, _KERNEL_ARM if hardware.architecture == "arm64" else _KERNEL_X86]
    if hardware.accelerator == "tcg":
        words.append(_KERNEL_EMULATED)
    return " ".join(words)
