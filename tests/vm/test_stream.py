"""The guest's memory, taken out of what the real QEMU has written of a VM, and mapped by another QEMU."""

from __future__ import annotations

import asyncio
import os
import random
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from desktop.platform import files, platform_for
from desktop.platform.base import LocalAddress
from desktop.vm.command import Files, Hardware, vm_command
from desktop.vm.image import load_image
from desktop.vm.machine import Machine
from desktop.vm.qemu import find_qemu
from desktop.vm.start.saved import SavedState
from desktop.vm.start.stream import UnknownStream, take_memory

MB = 1 << 20
PLATFORM = platform_for("linux")
BASES = {"amd64": 50 * MB, "arm64": (1 << 30) + 50 * MB}  # where QEMU writes nothing of its own
WRITTEN = random.Random(5).randbytes(64 * 1024) + bytes(64 * 1024) + random.Random(6).randbytes(10_000)
BLOCKS = {"pc.ram": 3 * 4096, "other": 4096}


@pytest.fixture
def work() -> Iterator[Path]:
    """A folder whose path is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="cvq-") as folder:
        yield Path(folder)


@pytest.mark.vm
@pytest.mark.logs("Failed to establish connection")  # QEMU does not listen yet
def test_memory_is_mapped_as_it_was_saved(each_image: Path, work: Path) -> None:
    """The file's own content stays out of what the second machine writes."""
    image = load_image(each_image, work / "verified")
    qemu = find_qemu(PLATFORM, os.environ, image.architecture)
    hardware = Hardware(image.architecture, "tcg", 128, 1)
    base = BASES[image.architecture]
    (work / "written").write_bytes(WRITTEN)
    saved, copy = SavedState(work / "state"), work / "copy"
    qmp, control, tunnel = (LocalAddress(work / name) for name in ("qmp", "control", "tunnel"))
    saved.clear()

    async def machine(*more: str, memory: Path | None = None) -> Machine:
        parts = Files(image, work / "console", work / "pid", qmp, control, tunnel, memory)
        command = vm_command(qemu.system, hardware, parts, incoming=memory is not None)
        return await Machine.launch(PLATFORM, [*command, *more], work / "qemu.log", qmp, control, tunnel)

    async def memory_of(one: Machine) -> bytes:
        await one.qmp.execute("pmemsave", {"val": base, "size": 2 * MB, "filename": str(work / "seen")})
        return (work / "seen").read_bytes()

    async def scenario() -> tuple[bytes, bytes]:
        first = await machine("-device", f"loader,file={work / 'written'},addr={base},force-raw=on")
        try:
            before = await memory_of(first)
            await first.save(saved.state)
        finally:
            await first.quit()
        saved.part(hardware.memory)
        PLATFORM.clone_file(saved.memory, copy)
        second = await machine(memory=copy)
        try:
            await second.restore(saved.state)
            return before, await memory_of(second)
        finally:
            await second.quit()

    before, after = asyncio.run(scenario())
    assert before.startswith(WRITTEN)
    assert after == before
    assert saved.memory.stat().st_size == 128 * MB
    assert saved.memory.stat().st_blocks * 512 < 64 * MB, "zero pages are holes"
    assert saved.state.stat().st_size < 8 * MB, "what is mapped is not in the state too"
    assert copy.read_bytes() == saved.memory.read_bytes(), "a page that QEMU writes is not written into the file"


def record(address: int, flags: int, body: bytes, name: str = "") -> bytes:
    named = bytes([len(name)]) + name.encode() if name else b""
    return struct.pack(">Q", address | flags | (0 if name else 0x20)) + named + body


def stream(*records: bytes, end: bytes = b"\4device") -> bytes:
    """What QEMU writes of a machine with BLOCKS and one device."""
    number = struct.pack(">I", 2)
    foot = b"\x7e" + number
    sizes = struct.pack(">Q", sum(BLOCKS.values()) | 4)
    for name, size in BLOCKS.items():
        sizes += bytes([len(name)]) + name.encode() + struct.pack(">Q", size)
    eos = struct.pack(">Q", 0x10)
    start = b"QEVM\0\0\0\3\7\0\0\0\2pc" + b"\1" + number + b"\3ram" + struct.pack(">II", 0, 4) + sizes + eos + foot
    half = len(records) // 2
    middle = b"\2" + number + b"".join(records[:half]) + eos + foot
    last = b"\3" + number + b"".join(records[half:]) + eos + foot
    return start + middle + last + end + bytes(20_000)


ONE, TWO = b"1" * 4096, b"2" * 4096
RECORDS = (
    record(0, 8, ONE, "pc.ram"),
    record(4096, 2, b"\0"),
    record(0, 8, TWO, "other"),
    record(8192, 8, ONE, "pc.ram"),
    record(8192, 8, TWO),
    record(0, 2, b"\0"),
)


def test_the_last_record_of_a_page_holds(tmp_path: Path) -> None:
    (tmp_path / "stream").write_bytes(stream(*RECORDS))
    take_memory(tmp_path / "stream", "pc.ram", tmp_path / "memory", tmp_path / "rest")
    assert (tmp_path / "memory").read_bytes() == bytes(8192) + TWO
    rest = (tmp_path / "rest").read_bytes()
    assert rest == stream(RECORDS[2], b"")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"QEVM" + bytes(20_000), "no memory is found"),
        (stream(*RECORDS).replace(b"\0\0\0\0\0\4", b"\0\0\0\0\0\5", 1), "no memory is found"),
        (stream(*RECORDS)[: 16 * 1024 + 20], "it ends too soon"),
        (stream(record(0, 0x40, b"", "pc.ram")), "flags 0x40"),
        (stream(record(0, 2, b"x", "pc.ram")), "another byte than zero"),
        (stream(record(1 << 20, 8, ONE, "pc.ram")), "beyond its block"),
        (stream(*RECORDS, end=b"\2\0\0\0\7"), "another part"),
        (stream(*RECORDS, end=b"\1\0\0\0\7"), "of kind 1"),
    ],
)
def test_a_stream_of_another_kind_stays_as_it_is(tmp_path: Path, content: bytes, reason: str) -> None:
    saved = SavedState(tmp_path / "state")
    saved.clear()
    saved.state.write_bytes(content)
    with pytest.raises(UnknownStream, match=reason):
        saved.part("pc.ram")
    assert saved.state.read_bytes() == content
    assert [path.name for path in saved.state.parent.iterdir()] == ["state"]


def test_a_file_is_cloned_with_its_holes(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    with source.open("wb") as file:
        for at in (0, 40 * MB, 90 * MB):
            file.seek(at)
            file.write(random.Random(at).randbytes(70_000))
        file.truncate(100 * MB)
    PLATFORM.clone_file(source, target)
    assert target.read_bytes() == source.read_bytes()
    assert target.stat().st_blocks <= source.stat().st_blocks * 2
    with pytest.raises(FileExistsError):
        PLATFORM.clone_file(source, target)


def test_file_systems_are_known() -> None:
    assert files.file_system(Path("/proc/self")) == "proc"
    assert not PLATFORM.maps_files(Path("/proc"))
    assert not PLATFORM.maps_files(Path("/dev/shm"))
