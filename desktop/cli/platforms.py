"""`--platform` of commands on images that are here: which engines know it, and how it is sent."""

from __future__ import annotations

import json
import re

from desktop.cli.app import Failure
from desktop.client.engine import EngineClient

_PART = re.compile(r"[A-Za-z0-9_.-]+")
_ARCHITECTURES = {
    "x86_64": "amd64",
    "x86-64": "amd64",
    "aarch64": "arm64",
    "armhf": "arm",
    "i386": "386",
    "i686": "386",
}


def sent(client: EngineClient, text: str | None, since: tuple[int, int]) -> str | None:
    """A platform (`linux/arm64`, `arm64`) as the Engine API takes it in queries, an OCI platform's JSON; None for None.

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
        parts = ["linux", *parts]
    architecture = parts[1].lower()
    fields = {"os": parts[0].lower(), "architecture": _ARCHITECTURES.get(architecture, architecture)}
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
