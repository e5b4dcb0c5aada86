"""`--platform` of commands on images that are here: which engines know it, and how it is sent."""

from __future__ import annotations

import json
import os
import re
import sys

from desktop.cli.app import Failure
from desktop.client.engine import EngineClient

_PART = re.compile(r"[A-Za-z0-9_.-]+")
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


def architecture() -> str:
    """Of this machine, in Go's words."""
    if sys.platform == "win32":
        machine = os.environ.get("PROCESSOR_ARCHITECTURE", "")
    else:
        machine = os.uname().machine
    return _in_gos_words(machine)


def _in_gos_words(name: str) -> str:
    return _ARCHITECTURES.get(name.lower(), name.lower())


def sent(client: EngineClient, text: str | None, since: tuple[int, int]) -> str | None:
    """A platform (`linux/arm64`, `arm64`, `linux`) as the Engine API takes it in queries: JSON of OCI. None for None.

    Raises Failure if it is no platform, or if the engine's API is older than `since`.
    """
    if text is None:
        return None
    require(client, "platform", since)
    parts = text.split("/")
    for part in parts:
        if _PART.fullmatch(part) is None:
            raise Failure(
                f'invalid platform: "{part}" is an invalid component of "{text}": platform specifier component must '
                'match "^[A-Za-z0-9_.-]+$": invalid argument'
            )
    if len(parts) > 3:
        raise Failure(f'invalid platform: "{text}": cannot parse platform specifier: invalid argument')
    if len(parts) == 1:
        if parts[0].lower() in _SYSTEMS:
            parts = [*parts, architecture()]
        elif _in_gos_words(parts[0]) in _ALONE:
            parts = ["linux", *parts]
        else:
            raise Failure(f'invalid platform: "{text}": unknown operating system or architecture: invalid argument')
    fields = {"os": parts[0].lower(), "architecture": _in_gos_words(parts[1])}
    if len(parts) == 3:
        fields["variant"] = parts[2].lower()
    return json.dumps(fields, separators=(",", ":"))


def require(client: EngineClient, flag: str, since: tuple[int, int]) -> None:
    """Raises Failure, in docker's words, if the engine's API is older than `since`."""
    if tuple(map(int, client.api_version.split("."))) < since:
        needed = ".".join(map(str, since))
        raise Failure(
            f'"--{flag}" requires API version {needed}, but the Docker daemon API version is {client.api_version}'
        )
