"""The image's packages from Debian and PyPI: fetching them, and the list of those of which something was kept."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import recipe

PROJECT = Path(__file__).resolve().parent.parent
# Written into the tree by a hook of mmdebstrap while the archives are there: a line `=NAME VERSION SOURCE` for each
# package, and below it the names of its files.
_LISTING = "cove-packages"
_LIST = (
    f'for deb in "$1"/var/cache/apt/archives/*.deb; do '
    f"dpkg-deb -W --showformat='=${{Package}} ${{Version}} ${{source:Package}}\\n' \"$deb\"; "
    f'dpkg-deb --fsys-tarfile "$deb" | tar -t; done >"$1/{_LISTING}"'
)


class PackagesError(Exception):
    """The packages can't be had; the message says why in one line."""


@dataclass(slots=True)
class Package:
    """One package. `licences`: the names in a copyright file that machines can read; empty if it is not one."""

    origin: str  # Debian or PyPI
    name: str
    version: str
    source: str
    licences: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)

    def to_json(self) -> dict[str, object]:
        return {
            "origin": self.origin,
            "name": self.name,
            "version": self.version,
            "source": self.source,
            "licences": self.licences,
        }


def debian(arch: recipe.Architecture, packages: tuple[str, ...], into: Path) -> None:
    """Unpack `packages` and what they depend on. Nothing of theirs is run. Raises PackagesError."""
    mirror = _mirror()
    keyring = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
    signed = f"Signed-By: {keyring}\n" if keyring.exists() else ""
    suites = f"{recipe.SUITE} {recipe.SUITE}-updates"
    into.mkdir()
    sources = into.with_suffix(".sources")
    sources.write_text(f"Types: deb\nURIs: {mirror}\nSuites: {suites}\nComponents: main\n{signed}")
    tar = into.with_suffix(".tar")
    command = ["mmdebstrap", "--quiet", "--variant=extract", f"--architectures={arch.debian}"]
    command += [f"--include={','.join(packages)}", f"--extract-hook={_LIST}", recipe.SUITE, str(tar), str(sources)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no message"])[-3:]
        raise PackagesError(f"mmdebstrap from {mirror} failed: {' / '.join(said)}")
    subprocess.run(
        ["tar", "-xf", str(tar), "-C", str(into), "--no-same-owner", "--delay-directory-restore", "--exclude=./dev"],
        check=True,
    )
    tar.unlink()


def _mirror() -> str:
    """The Debian mirror that this machine's apt uses, else Debian's own."""
    lists = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    for file in lists:
        if file.suffix not in (".list", ".sources") or not file.is_file():
            continue
        for word in file.read_text().split():
            url = word.rstrip("/")
            if url.startswith(("http://", "https://")) and url.endswith("/debian") and "snapshot." not in url:
                return url
    return "http://deb.debian.org/debian"


def wheels(arch: recipe.Architecture, into: Path) -> None:
    """PyPI's packages that the engine needs, at the versions of the lock file, for the guest's Python."""
    command = [str(uv()), "pip", "install", "--quiet", "--target", str(into), "--python-version", "3.13"]
    command += ["--python-platform", arch.wheels, "--only-binary", ":all:", "--extra", "agent"]
    command += ["-r", str(PROJECT / "pyproject.toml"), "--constraint", str(PROJECT / "requirements.lock")]
    subprocess.run(command, check=True)


def uv() -> Path:
    return Path(sys.prefix) / "bin" / "uv"


def manifest(root: Path, system: Path, kernel: Path, pypi: Path) -> str:
    """JSON: name, version, source and licences of each package of which `root` has a file. `system`, `kernel`: what
    `debian` made; `pypi`: what `wheels` made. Debian's copyright files are put into `root`."""
    found: list[Package] = []
    for tree in (system, kernel):
        for package in _listed(tree):
            # What the kernel's package needs besides is for machines that boot from a disk.
            if package.name.startswith("linux-image-") != (tree == kernel):
                continue
            if not any(_kept(root, file) for file in package.files):
                continue
            copyright_file = tree / "usr/share/doc" / package.name / "copyright"
            if copyright_file.exists():
                text = copyright_file.read_text(errors="replace")
                package.licences = _licences(text)
                kept = root / "usr/share/doc" / package.name / "copyright"
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.write_text(text)
            found.append(package)
    found += (_from_metadata(file.read_text()) for file in pypi.glob("*.dist-info/METADATA"))
    found.sort(key=lambda package: (package.origin, package.name))
    return json.dumps({"schema": 1, "packages": [package.to_json() for package in found]}, indent=1) + "\n"


def _listed(tree: Path) -> Iterator[Package]:
    package: Package | None = None
    for line in (tree / _LISTING).read_text().splitlines():
        if line.startswith("="):
            if package is not None:
                yield package
            name, version, source = line[1:].split()
            package = Package("Debian", name, version, source)
        elif package is not None and not line.endswith("/") and not line.startswith("./usr/share/doc/"):
            package.files.append(Path(line))
    if package is not None:
        yield package


def _kept(root: Path, file: Path) -> bool:
    """Modules are kept without their compression, a kernel's image beside the root."""
    if file.parts[0] == "boot":
        return file.name.startswith("vmlinuz-")
    if file.suffix == ".xz":
        file = file.with_suffix("")
    return (root / file).is_file() and not (root / file).is_symlink()  # the names of busybox's commands are links


def _licences(text: str) -> list[str]:
    """The licence names of a copyright file in Debian's machine-readable format (DEP 5)."""
    if not text.lstrip().startswith("Format:"):
        return []
    return sorted({name.strip() for name in re.findall(r"^Licen[sc]e:[ \t]*(\S.*)$", text, re.MULTILINE)})


def _from_metadata(text: str) -> Package:
    """From a wheel's METADATA (core metadata specification)."""
    head = text.partition("\n\n")[0]
    fields = re.findall(r"^([A-Za-z-]+): (.*)$", head, re.MULTILINE)
    value = dict(reversed(fields))  # the first of each name
    named = [value[key] for key in ("License-Expression", "License") if value.get(key)]
    classified = [text.rpartition(" :: ")[2] for key, text in fields if key == "Classifier" and "License ::" in text]
    return Package("PyPI", value["Name"], value["Version"], value["Name"], (named or classified)[:1])
