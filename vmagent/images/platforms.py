"""Which of an index's manifests suits a machine: OCI image-spec, image-index.md, "platform"."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vmagent.images.faults import ImageFault

INDEX_TYPES = frozenset(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    )
)

# Go's words for architectures, under the kernel's and others' names for them.
_ARCHITECTURES = {
    "x86_64": "amd64",
    "x86-64": "amd64",
    "aarch64": "arm64",
    "armv7l": "arm",
    "armhf": "arm",
    "i386": "386",
    "i686": "386",
}


# Go's words for systems and architectures that a platform of one part may be.
_SYSTEMS = frozenset(("linux", "windows", "darwin", "freebsd"))
_ALONE = frozenset(
    ("386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64le", "riscv64", "s390x")
)
_PART = re.compile(r"[a-z0-9_.-]+")


@dataclass(frozen=True, slots=True)
class Platform:
    """`os/architecture[/variant]`; no variant means whichever there is."""

    os: str
    architecture: str
    variant: str = ""

    @classmethod
    def host(cls) -> Platform:
        machine = os.uname().machine
        return cls("linux", _ARCHITECTURES.get(machine, machine), "v7" if machine == "armv7l" else "")

    @classmethod
    def parse(cls, text: str) -> Platform:
        """`linux/arm64/v8`, or an architecture or system alone. Raises ImageFault in docker's words."""
        parts = text.lower().split("/")
        if len(parts) > 3:
            raise ImageFault(f'"{text}": cannot parse platform specifier: invalid argument', "invalid")
        for part in parts:
            if _PART.fullmatch(part) is None:
                raise ImageFault(
                    f'"{part}" is an invalid component of "{text}": platform specifier component must match '
                    '"^[A-Za-z0-9_.-]+$": invalid argument',
                    "invalid",
                )
        if len(parts) == 1:
            host = cls.host()
            if parts[0] in _SYSTEMS:
                return cls(parts[0], host.architecture, host.variant)
            if _ARCHITECTURES.get(parts[0], parts[0]) not in _ALONE:
                raise ImageFault(f'"{text}": unknown operating system or architecture: invalid argument', "invalid")
            parts = ["linux", parts[0]]
        architecture = _ARCHITECTURES.get(parts[1], parts[1])
        return cls(parts[0], architecture, parts[2] if len(parts) > 2 else "")

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Platform:
        """Of an index's entry or an image's config."""
        return cls(
            str(data.get("os") or ""), str(data.get("architecture") or ""), _plain(str(data.get("variant") or ""))
        )

    def __str__(self) -> str:
        return "/".join(filter(None, (self.os, self.architecture, self.variant)))

    def suits(self, wanted: Platform) -> bool:
        """Whether an image for this platform runs where `wanted` is asked for."""
        if (self.os, self.architecture) != (wanted.os, wanted.architecture):
            return False
        if wanted.architecture == "arm64":
            return _plain(wanted.variant, "v8") == _plain(self.variant, "v8")
        return not wanted.variant or not self.variant or self.variant == wanted.variant


def _plain(variant: str, default: str = "") -> str:
    return variant or default


def choose(manifests: Sequence[Any], wanted: Platform) -> dict[str, Any]:
    """The entry of an index for `wanted`; an entry without a platform is taken if no other matches.

    Raises ImageFault in docker's words.
    """
    nameless: dict[str, Any] | None = None
    best: tuple[str, dict[str, Any]] | None = None
    for entry in manifests:
        if not isinstance(entry, dict):
            continue
        if not entry.get("platform"):
            nameless = nameless or entry
            continue
        platform = Platform.from_json(entry["platform"])
        if not platform.suits(wanted):
            continue
        if platform.variant == wanted.variant or wanted.architecture != "arm":
            return entry
        if best is None or platform.variant > best[0]:
            best = (platform.variant, entry)  # arm: the newest one, v7 before v6
    found = best[1] if best else nameless
    if found is None:
        raise ImageFault(f"no matching manifest for {wanted} in the manifest list entries", "not-found")
    return found
