"""What the guest images hold, for each processor: programs of that processor alone, what the boot needs, the list of
packages; and that a second build gives the same bytes."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from desktop.vm.errors import VmError
from desktop.vm.image import load_image
from tests.support.tools import ROOT
from tests.vm.conftest import BUILD_LIMIT_S

pytestmark = pytest.mark.vm
# e_machine of the ELF header (gABI, "ELF Header").
MACHINES = {"amd64": 62, "arm64": 183}
BOOT_FILES = ("lib/cove/init", "lib/cove/control", "lib/cove/tunnel", "bin/busybox", "bin/cove-agent", "sbin/sshd")


@pytest.fixture
def root(each_image: Path, tmp_path: Path) -> Iterator[Path]:
    """The image's root, mounted."""
    subprocess.run(["mount", "-t", "erofs", "-o", "loop,ro", each_image / "root.erofs", tmp_path], check=True)
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


def elf_machine(head: bytes) -> int | None:
    """The processor that an ELF file is for; None if it is none."""
    return struct.unpack_from("<H", head, 18)[0] if head.startswith(b"\x7fELF") else None


def test_every_program_is_for_the_images_processor(each_image: Path, root: Path) -> None:
    found: dict[str, int] = {}
    for path in root.rglob("*"):
        if path.is_file() and not path.is_symlink():
            with open(path, "rb") as file:
                machine = elf_machine(file.read(20))
            if machine is not None:
                found[str(path.relative_to(root))] = machine
    others = {path: machine for path, machine in found.items() if machine != MACHINES[each_image.name]}
    assert not others
    assert len([path for path in found if path.endswith(".ko")]) > 80
    assert len([path for path in found if path.startswith("usr/bin/") or path.startswith("usr/sbin/")]) >= 9


def test_it_has_what_its_boot_needs(each_image: Path, root: Path) -> None:
    for name in BOOT_FILES:
        assert (root / "usr" / name).is_file(), name
    dangling = [path for path in (root / "usr").rglob("*") if path.is_symlink() and not target(root, path).exists()]
    assert not dangling
    kernel = (each_image / "vmlinux").read_bytes()
    if each_image.name == "arm64":
        assert kernel[56:60] == b"ARM\x64", "Documentation/arch/arm64/booting.rst"
    else:
        assert elf_machine(kernel) == MACHINES["amd64"]
    initrd = subprocess.run(["lz4", "-dc", each_image / "initrd"], check=True, capture_output=True).stdout
    at = initrd.index(b"\x7fELF")
    assert elf_machine(initrd[at : at + 20]) == MACHINES[each_image.name]


def target(root: Path, link: Path) -> Path:
    """Where `link` leads within the image."""
    to = os.readlink(link)
    return root / to[1:] if to.startswith("/") else link.parent / to


def test_both_processors_have_the_same_commands_and_bytecode(root: Path, each_image: Path) -> None:
    """Byte code and the names of commands of the foreign image come from tools of this machine's."""
    assert (root / "usr/bin/sh").is_symlink()
    assert (root / "usr/bin/mount").is_symlink()
    sources = [*(root / "usr/lib/python3/dist-packages/vmagent").rglob("*.py")]
    assert len(sources) > 100
    for source in sources:
        assert (source.parent / "__pycache__" / f"{source.stem}.cpython-313.pyc").is_file(), source


def test_it_lists_its_packages_with_versions_and_licences(each_image: Path, root: Path) -> None:
    listed = json.loads((each_image / "packages.json").read_text())["packages"]
    packages = {(one["origin"], one["name"]): one for one in listed}
    assert len(packages) == len(listed), "each once"
    assert all(one["version"] and one["source"] for one in listed)
    assert packages["Debian", "openssh-server"]["licences"]
    assert packages["PyPI", "zstandard"]["licences"] == ["BSD-3-Clause"]
    [kernel] = [name for _, name in packages if name.startswith("linux-image-")]
    assert json.loads((each_image / "manifest.json").read_text())["kernel"] in kernel
    assert ("Debian", "coreutils") not in packages, "its commands are busybox's"
    for origin, name in packages:
        if origin == "Debian":
            assert (root / "usr/share/doc" / name / "copyright").is_file(), name


def test_a_second_build_gives_the_same_bytes(each_image: Path, tmp_path: Path) -> None:
    """From the same base, in another cache. docs/arm64.md tells of two builds from the network."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cove" / "guest"
    other = tmp_path / "cove" / "guest"
    other.mkdir(parents=True)
    for base in cache.glob("base-*"):
        shutil.copytree(base, other / base.name, symlinks=True)
    guest = tmp_path / "project" / "guest"  # a build writes beside its sources
    for name in ("vmagent", "guest", "pyproject.toml", "requirements.lock", "README.md", "LICENSE"):
        into = tmp_path / "project" / name
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, into, ignore=shutil.ignore_patterns("__pycache__", "build"))
        else:
            shutil.copy2(ROOT / name, into)
    subprocess.run(
        [sys.executable, guest / "build.py", "--arch", each_image.name],
        check=True, timeout=BUILD_LIMIT_S, env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)},
    )  # fmt: skip
    ours, theirs = (json.loads((folder / "manifest.json").read_text()) for folder in (
        each_image, guest / "build" / each_image.name))  # fmt: skip
    assert ours == theirs


def test_a_changed_image_is_refused(each_image: Path, tmp_path: Path) -> None:
    folder = tmp_path / "image"
    shutil.copytree(each_image, folder)
    assert load_image(folder, tmp_path / "verified").architecture == each_image.name
    with open(folder / "packages.json", "r+b") as file:
        file.write(b"x")
    with pytest.raises(VmError, match=r"packages\.json has another content"):
        load_image(folder, tmp_path / "verified")
