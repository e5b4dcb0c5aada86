"""What a saved state of the VM fits, and the reasons for which it is dropped."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from desktop.tunnel.keys import KeyFiles, ensure_keys
from desktop.vm.command import Hardware
from desktop.vm.errors import VmError
from desktop.vm.image import GuestImage
from desktop.vm.qemu import Qemu, machine_version
from desktop.vm.start.saved import SavedState, fingerprint

HARDWARE = Hardware("amd64", "tcg", 2048, 2, "7.2")
IMAGE = GuestImage(Path("/image"), "key", "amd64", "6.12")
FITS = {"QEMU": "a", "guest image": "b"}


@pytest.fixture
def saved(tmp_path: Path) -> SavedState:
    """A whole state that depends on the file `disk`."""
    made = SavedState(tmp_path / "session")
    made.clear()
    made.state.write_bytes(b"state")
    (tmp_path / "disk").write_bytes(b"data")
    made.finish(FITS, tmp_path / "disk")
    return made


def test_a_whole_state_may_be_used_until_it_is_consumed(saved: SavedState) -> None:
    saved.check(FITS)
    saved.check(FITS)
    saved.consume()
    assert saved.exists()
    with pytest.raises(VmError, match="its save was cut short"):
        saved.check(FITS)
    saved.drop()
    assert not saved.exists()
    saved.drop()


def test_another_qemu_or_image_is_named(saved: SavedState) -> None:
    with pytest.raises(VmError, match="it was made with another guest image"):
        saved.check({**FITS, "guest image": "c"})
    with pytest.raises(VmError, match="it was made with another machine"):
        saved.check({**FITS, "machine": "m"})


def test_a_state_or_disk_that_was_touched_is_named(saved: SavedState, tmp_path: Path) -> None:
    os.utime(tmp_path / "disk")
    with pytest.raises(VmError, match=r"disk was changed since"):
        saved.check(FITS)
    saved.finish(FITS, tmp_path / "disk")
    with saved.state.open("ab") as state:
        state.write(b"x")
    with pytest.raises(VmError, match=r"state was changed since"):
        saved.check(FITS)
    saved.finish(FITS, tmp_path / "disk")
    (tmp_path / "disk").unlink()
    with pytest.raises(VmError, match=r"disk is missing"):
        saved.check(FITS)
    (tmp_path / "session" / "record.json").write_text("{")
    with pytest.raises(VmError, match="its record is damaged"):
        saved.check(FITS)


def test_all_that_the_guest_sees_is_in_the_fingerprint(tmp_path: Path) -> None:
    program = tmp_path / "qemu"
    program.write_text("#!/bin/sh\necho QEMU emulator version 8.1.3\n")
    program.chmod(0o755)
    qemu, keys = Qemu(program, program), KeyFiles(tmp_path / "client", tmp_path / "host")
    ensure_keys(keys, tmp_path / "known")
    first = fingerprint(qemu, IMAGE, HARDWARE, keys)
    assert fingerprint(qemu, IMAGE._replace(folder=Path("/elsewhere")), HARDWARE, keys) == first

    def differs(other: dict[str, str]) -> set[str]:
        return {name for name in first if other[name] != first[name]}

    assert differs(fingerprint(qemu, IMAGE._replace(key="other"), HARDWARE, keys)) == {"guest image"}
    for hardware in (HARDWARE._replace(cpus=1), HARDWARE._replace(memory_mb=512), HARDWARE._replace(version="8.0")):
        assert differs(fingerprint(qemu, IMAGE, hardware, keys)) == {"machine"}
    keys.host.unlink()
    ensure_keys(keys, tmp_path / "known")
    assert differs(fingerprint(qemu, IMAGE, HARDWARE, keys)) == {"set of keys"}

    assert machine_version(qemu, tmp_path / "version") == "8.1"
    program.write_text("#!/bin/sh\necho QEMU emulator version 10.0.2 of another size\n")
    assert machine_version(qemu, tmp_path / "version") == "10.0"
    assert differs(fingerprint(qemu, IMAGE, HARDWARE, keys)) == {"QEMU", "set of keys"}
