"""Missing or damaged files and invalid settings: each is reported in one line before QEMU is started."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from desktop.platform import platform_for
from desktop.vm.disk import ensure_disk
from desktop.vm.errors import VmError
from desktop.vm.image import load_image
from desktop.vm.qemu import Qemu, find_qemu
from desktop.vm.settings import check_memory, load_settings


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A complete image of a few bytes."""
    folder = tmp_path / "image"
    folder.mkdir()
    files = {}
    for name in ("vmlinux", "initrd", "root.erofs"):
        data = name.encode() * 10
        (folder / name).write_bytes(data)
        files[name] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    manifest = {"schema": 1, "key": "k", "architecture": "amd64", "kernel": "6.12", "files": files}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_a_whole_image_is_read_once_and_trusted_while_unchanged(image: Path, tmp_path: Path) -> None:
    verified = tmp_path / "verified.json"
    assert load_image(image, verified).kernel == "6.12"
    seen = verified.read_text()
    assert load_image(image, verified).key == "k"
    assert verified.read_text() == seen


def test_a_missing_image_names_the_file_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(VmError, match="image is missing") as e:
        load_image(tmp_path, tmp_path / "verified.json")
    assert "make guest" in e.value.hint


def test_a_file_cut_short_is_named(image: Path, tmp_path: Path) -> None:
    os.truncate(image / "root.erofs", 5)
    with pytest.raises(VmError, match=r"damaged: .*root\.erofs has 5 bytes, not 100"):
        load_image(image, tmp_path / "verified.json")


def test_a_flipped_bit_is_found_even_after_the_file_was_verified(image: Path, tmp_path: Path) -> None:
    load_image(image, tmp_path / "verified.json")
    data = bytearray((image / "vmlinux").read_bytes())
    data[3] ^= 1
    (image / "vmlinux").write_bytes(data)
    with pytest.raises(VmError, match=r"damaged: .*vmlinux has another content"):
        load_image(image, tmp_path / "verified.json")


def test_a_torn_manifest_is_a_damaged_image(image: Path, tmp_path: Path) -> None:
    (image / "manifest.json").write_text('{"schema": 1, "ke')
    with pytest.raises(VmError, match="damaged"):
        load_image(image, tmp_path / "verified.json")


@pytest.mark.parametrize("name", ["linux", "darwin", "win32"])
def test_no_qemu_says_how_to_install_it(name: str, tmp_path: Path) -> None:
    with pytest.raises(VmError, match="QEMU is missing: no qemu-system-x86_64") as e:
        find_qemu(platform_for(name), {"PATH": str(tmp_path), "COVE_QEMU": str(tmp_path)}, "amd64")
    assert e.value.hint.startswith("Install it: ")


def test_memory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    settings = load_settings(tmp_path / "config.json", 8192)
    assert settings.memory_mb == 2048
    check_memory(settings, 8192, 4000, tmp_path / "config.json")
    with pytest.raises(VmError, match="not enough memory: the VM is set to 2048 MB and 900 MB are free"):
        check_memory(settings, 8192, 900, tmp_path / "config.json")
    with pytest.raises(VmError, match="this machine has 1024"):
        check_memory(settings, 1024, 1000, tmp_path / "config.json")


@pytest.mark.parametrize(("text", "seconds"), [("{}", 300), ('{"vm": {"save_after_minutes": 0.5}}', 30)])
def test_an_idle_vm_is_saved_after_minutes(tmp_path: Path, text: str, seconds: int) -> None:
    (tmp_path / "config.json").write_text(text)
    assert load_settings(tmp_path / "config.json", 8192).save_after_s == seconds


def test_with_zero_minutes_it_is_never_saved(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"vm": {"save_after_minutes": 0}}')
    assert load_settings(tmp_path / "config.json", 8192).save_after_s is None


def test_the_default_size_fits_a_small_machine(tmp_path: Path) -> None:
    assert load_settings(tmp_path / "config.json", 2048).memory_mb == 1024


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"vm": {"memory_mb": "2g"}}', r"vm\.memory_mb in .* must be a number from 384"),
        ('{"vm": {"cpus": 0}}', r"vm\.cpus in .* must be a number from 1 to 255, not 0"),
        ('{"vm": {"cpus": true}}', r"vm\.cpus"),
        ('{"vm": {"cpus": 1.5}}', r"vm\.cpus in .* must be a whole number"),
        ('{"vm": {"save_after_minutes": -1}}', r"vm\.save_after_minutes"),
        ('{"vm": {"accelerator": "turbo"}}', "no accelerator 'turbo'"),
        ('{"vm": []}', "“vm” is not an object"),
        ("{", "settings can't be read"),
    ],
)
def test_a_setting_that_cannot_be_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(VmError, match=message):
        load_settings(tmp_path / "config.json", 8192)


def test_a_disk_is_made_grown_and_never_shrunk(tmp_path: Path) -> None:
    qemu, disk = find_qemu(platform_for("linux"), os.environ, "amd64"), tmp_path / "data.qcow2"
    assert ensure_disk(qemu, disk, tmp_path / "mark", 1).did == "made, 1 GB"
    assert disk.stat().st_size < 1 << 20, "it is sparse"
    assert ensure_disk(qemu, disk, tmp_path / "mark", 2).did == "grown to 2 GB"
    assert ensure_disk(qemu, disk, tmp_path / "mark", 1).did.endswith("of 2 GB used")


def test_a_disk_that_is_none_is_left_alone(tmp_path: Path) -> None:
    qemu: Qemu = find_qemu(platform_for("linux"), os.environ, "amd64")
    disk = tmp_path / "data.qcow2"
    disk.write_bytes(b"somebody's letters" * 100)
    with pytest.raises(VmError, match="not qcow2") as e:
        ensure_disk(qemu, disk, tmp_path / "mark", 1)
    assert "cove vm reset" in e.value.hint
    assert disk.read_bytes().startswith(b"somebody's")
