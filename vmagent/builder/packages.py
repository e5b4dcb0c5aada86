"""The packages that are installed in an image's files: Debian's, Alpine's and Python's, by their own records.

dpkg(1): /var/lib/dpkg/status, and a file each in status.d in images without dpkg; status.d is also where "distroless"
images have them. apk-tools: lib/apk/db/installed (apk-db format). Python: METADATA of `*.dist-info` and PKG-INFO of
`*.egg-info` ("Recording installed projects" of the Python packaging specifications). Files of an image are not trusted:
every path is resolved below the image's root, and what is too long or no text is left out.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from vmagent.builder.trees import FOLDER
from vmagent.linux import mounts

_RECORD_BYTES = 64 << 20  # of dpkg's or apk's one file for all packages
_METADATA_BYTES = 1 << 20
_DEPTH = 24  # folders below the root in which Python's packages are looked for
_NO_FILES = frozenset(("proc", "sys", "dev"))  # at the root
_INSTALLED = re.compile(r"\S+ \S+ installed")  # dpkg's "Status": what is wanted, errors, and how it is
_ALPINE_DB = ("lib/apk/db/installed", "usr/lib/apk/db/installed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """`kind`: the type of its package URL. `source`: the source package where that has another name. `path`: of the
    record, absolute in the image. `license`: an expression of SPDX, if the packager keeps to that."""

    kind: str  # deb, apk or pypi
    name: str
    version: str
    path: str
    architecture: str = ""
    source: str = ""
    license: str = ""
    supplier: str = ""
    homepage: str = ""

    def to_json(self) -> dict[str, str]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Contents:
    """What an image holds. `distribution` and `release`: ID and VERSION_ID of os-release; "" without one."""

    distribution: str
    release: str
    packages: tuple[Package, ...]

    def to_json(self) -> dict[str, Any]:
        packages = [package.to_json() for package in self.packages]
        return {"distribution": self.distribution, "release": self.release, "packages": packages}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Contents:
        return cls(data["distribution"], data["release"], tuple(Package(**one) for one in data["packages"]))


def contents(root: int) -> Contents:
    """What the tree open at descriptor `root` holds; packages in the order of their kinds, names and versions.

    Raises OSError.
    """
    release = _os_release(root)
    found = {*_debian(root), *_alpine(root), *_python(root)}
    ordered = sorted(found, key=lambda one: (one.kind, one.name, one.version, one.architecture, one.path))
    return Contents(release.get("ID", ""), release.get("VERSION_ID", ""), tuple(ordered))


def _os_release(root: int) -> dict[str, str]:
    for path in ("etc/os-release", "usr/lib/os-release"):
        if text := _text(root, path, _METADATA_BYTES):
            pairs = (line.partition("=") for line in text.splitlines() if "=" in line and not line.startswith("#"))
            return {key.strip(): value.strip().strip("\"'") for key, _, value in pairs}
    return {}


def _debian(root: int) -> Iterator[Package]:
    paths = ["var/lib/dpkg/status"]
    paths += [f"var/lib/dpkg/status.d/{name}" for name in _names(root, "var/lib/dpkg/status.d")]
    for path in paths:
        if path.endswith(".md5sums"):
            continue
        for fields in _paragraphs(_text(root, path, _RECORD_BYTES)):
            # In status.d, a file is there for each package that is.
            if not _INSTALLED.fullmatch(fields.get("Status", "install ok installed")):
                continue
            if fields.get("Package") and fields.get("Version"):
                yield Package(
                    kind="deb",
                    name=fields["Package"],
                    version=fields["Version"],
                    path=f"/{path}",
                    architecture=fields.get("Architecture", ""),
                    source=fields.get("Source", "").partition(" ")[0],
                    supplier=fields.get("Maintainer", ""),
                    homepage=fields.get("Homepage", ""),
                )


def _paragraphs(text: str) -> Iterator[dict[str, str]]:
    """Of a file in Debian's control syntax, the first line of each field (deb822(5))."""
    for paragraph in re.split(r"\n\s*\n", text):
        yield _fields(paragraph)


def _fields(paragraph: str) -> dict[str, str]:
    """The first lines of `Name: value` fields; the earlier of two with one name."""
    found: dict[str, str] = {}
    for line in paragraph.splitlines():
        if not line[:1].isspace() and ":" in line:
            name, _, value = line.partition(":")
            found.setdefault(name, value.strip())
    return found


def _alpine(root: int) -> Iterator[Package]:
    for path in _ALPINE_DB:
        for paragraph in _text(root, path, _RECORD_BYTES).split("\n\n"):
            fields = _fields(paragraph)
            if fields.get("P") and fields.get("V"):
                yield Package(
                    kind="apk",
                    name=fields["P"],
                    version=fields["V"],
                    path=f"/{path}",
                    architecture=fields.get("A", ""),
                    source=fields.get("o", ""),
                    license=fields.get("L", ""),
                    supplier=fields.get("m", ""),
                    homepage=fields.get("U", ""),
                )


def _python(root: int) -> Iterator[Package]:
    for path in _records_of_python(root):
        text = _text(root, path, _METADATA_BYTES)
        fields = _fields(text.partition("\n\n")[0])  # behind the empty line is a description in any words
        if fields.get("Name") and fields.get("Version"):
            yield Package(
                kind="pypi",
                name=fields["Name"],
                version=fields["Version"],
                path=f"/{path}",
                license=fields.get("License-Expression", ""),  # "License" is any words
                supplier=fields.get("Author", ""),
                homepage=fields.get("Home-page", ""),
            )


def _records_of_python(root: int) -> Iterator[str]:
    pending = [("", 0)]
    while pending:
        folder, depth = pending.pop()
        for name in _names(root, folder or ".", folders=True):
            path = f"{folder}/{name}" if folder else name
            if name.endswith(".dist-info"):
                yield f"{path}/METADATA"
            elif name.endswith(".egg-info"):
                yield f"{path}/PKG-INFO"
            elif depth < _DEPTH and not (depth == 0 and name in _NO_FILES):
                pending.append((path, depth + 1))
        if folder.endswith(("site-packages", "dist-packages")):
            yield from (f"{folder}/{name}" for name in _names(root, folder) if name.endswith(".egg-info"))


def _names(root: int, path: str, *, folders: bool = False) -> list[str]:
    """The names of the files, or of the folders, in a folder of the tree; none if there is no such folder."""
    try:
        fd = mounts.open_in_root(root, path, FOLDER | os.O_NOFOLLOW)
    except OSError:
        return []
    try:
        with os.scandir(fd) as entries:
            return sorted(
                entry.name
                for entry in entries
                if (entry.is_dir(follow_symlinks=False) if folders else entry.is_file(follow_symlinks=False))
            )
    finally:
        os.close(fd)


def _text(root: int, path: str, limit: int) -> str:
    """The text of a regular file of the tree; "" if there is none, or if it is longer than `limit` bytes."""
    try:
        fd = mounts.open_in_root(root, path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    with os.fdopen(fd, "rb") as file:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode) or info.st_size > limit:
            return ""
        return file.read(limit).decode("utf-8", "replace")
