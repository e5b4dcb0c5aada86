"""The kernel's parts of the image: an uncompressed kernel, the modules that are kept, the initrd."""

from __future__ import annotations

import gzip
import lzma
import struct
import subprocess
from pathlib import Path

import zstandard

_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


def bootable(packed: bytes) -> bytes:
    """The kernel as QEMU starts it without firmware, of a file that Debian has as /boot/vmlinuz. Raises ValueError.

    For ARM that is the file itself, an "Image" (Documentation/arch/arm64/booting.rst: magic at 56), or that in gzip.
    """
    image = gzip.decompress(packed) if packed.startswith(b"\x1f\x8b") else packed
    if image[56:60] == b"ARM\x64":
        return image
    if image[0x202:0x206] == b"HdrS":
        return unpack_vmlinux(image)
    raise ValueError(f"no kernel of a known form: it begins with {packed[:4].hex()}")


def unpack_vmlinux(bzimage: bytes) -> bytes:
    """The ELF kernel inside a bzImage. QEMU starts it by its PVH note, with no firmware and no unpacking in the guest.

    Documentation/arch/x86/boot.rst: setup_sects (0x1f1), payload_offset (0x248), payload_length (0x24c).
    Raises ValueError where the payload is not zstd.
    """
    setup_sects = bzimage[0x1F1] or 4
    offset, length = struct.unpack_from("<II", bzimage, 0x248)
    start = (setup_sects + 1) * 512 + offset
    payload = bzimage[start : start + length]
    if not payload.startswith(_ZSTD_MAGIC):
        raise ValueError(f"the kernel's payload is not zstd: it begins with {payload[:4].hex()}")
    size = struct.unpack("<I", payload[-4:])[0]
    elf = zstandard.ZstdDecompressor().decompressobj().decompress(payload[:-4])
    if len(elf) != size or not elf.startswith(b"\x7fELF"):
        raise ValueError(f"the kernel unpacks to {len(elf)} bytes, not to an ELF file of {size}")
    return elf


class Modules:
    """The modules of one kernel in an unpacked package: `tree`/usr/lib/modules/`release`."""

    def __init__(self, tree: Path, release: str, depmod: list[str]) -> None:
        """`depmod`: how to run depmod. Raises CalledProcessError."""
        self.release = release
        self.folder = tree / "usr/lib/modules" / release
        subprocess.run([*depmod, "-b", str(tree / "usr"), release], check=True)
        self._needs: dict[str, list[str]] = {}
        self._file: dict[str, str] = {}
        for line in (self.folder / "modules.dep").read_text().splitlines():
            path, _, needs = line.partition(":")
            self._file[_name(path)] = path
            self._needs[_name(path)] = [_name(need) for need in needs.split()]
        builtin = (self.folder / "modules.builtin").read_text().splitlines()
        self.builtin = {_name(path) for path in builtin}

    def closure(self, names: tuple[str, ...]) -> list[str]:
        """`names` and all they depend on, each after what it needs. Names that this kernel has not as modules are left
        out: they may be built in."""
        order: list[str] = []

        def add(name: str) -> None:
            if name in order or name not in self._file:
                return
            for need in reversed(self._needs[name]):  # modules.dep lists the nearest first
                add(need)
            order.append(name)

        for name in names:
            add(name.replace("-", "_"))
        return order

    def missing(self, names: tuple[str, ...]) -> list[str]:
        """Those of `names` that this kernel has neither as a module nor built in."""
        return [name for name in names if name.replace("-", "_") not in self._file.keys() | self.builtin]

    def read(self, name: str) -> tuple[str, bytes]:
        """The module's file name without compression, relative to the release's folder, and its bytes."""
        path = self._file[name]
        data = (self.folder / path).read_bytes()
        return (path.removesuffix(".xz"), lzma.decompress(data)) if path.endswith(".xz") else (path, data)

    def install(self, names: tuple[str, ...], root: Path, depmod: list[str]) -> int:
        """Put the closure of `names` into `root`, uncompressed: the file system compresses, and xz is slow there.
        Returns how many modules that were."""
        into = root / "usr/lib/modules" / self.release
        chosen = self.closure(names)
        for name in chosen:
            path, data = self.read(name)
            (into / path).parent.mkdir(parents=True, exist_ok=True)
            (into / path).write_bytes(data)
        for index in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
            (into / index).write_bytes((self.folder / index).read_bytes())
        subprocess.run([*depmod, "-b", str(root / "usr"), self.release], check=True)
        return len(chosen)


def _name(path: str) -> str:
    return Path(path).name.partition(".ko")[0].replace("-", "_")


def cpio(files: list[tuple[str, int, bytes]]) -> bytes:
    """An initramfs of (path, mode with file type, content), in the kernel's "newc" format
    (Documentation/driver-api/early-userspace/buffer-format.rst). Everything belongs to root, at time 0."""
    archive = bytearray()
    for inode, (path, mode, data) in enumerate([*files, ("TRAILER!!!", 0, b"")], start=1):
        name = path.encode() + b"\0"
        fields = (inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name), 0)
        archive += b"070701" + b"".join(b"%08X" % field for field in fields) + name
        archive += b"\0" * (-len(archive) % 4) + data
        archive += b"\0" * (-len(archive) % 4)
    return bytes(archive)
