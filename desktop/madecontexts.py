"""Contexts that users have made, of engines on other machines, by ssh or TLS; in config.json, under `contexts`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from desktop.client.http import Endpoint
from desktop.client.tlsfiles import TlsFiles

KEY = "contexts"
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.+-]+")  # as docker's


@dataclass(frozen=True, slots=True)
class Made:
    """One context. `ca`, `cert`, `key`: PEM files, "" for none."""

    host: str
    description: str = ""
    ca: str = ""
    cert: str = ""
    key: str = ""
    skip_tls_verify: bool = False

    def endpoint(self) -> Endpoint:
        """Raises ValueError."""
        has_tls = bool(self.ca or self.cert or self.key or self.skip_tls_verify)
        files = TlsFiles(self.ca or None, self.cert or None, self.key or None, not self.skip_tls_verify)
        return Endpoint.parse(self.host, files if has_tls else None)


def kept(value: object) -> dict[str, Made]:
    """By name, from what stands in the file. Raises ValueError."""
    found = value or {}
    if not isinstance(found, dict) or not all(isinstance(one, dict) and "host" in one for one in found.values()):
        raise ValueError(f"{KEY} is no object of contexts")
    return {name: _one(name, one) for name, one in found.items()}


def _one(name: str, found: Mapping[str, object]) -> Made:
    values: dict[str, Any] = {field.name: found[field.name] for field in fields(Made) if field.name in found}
    for key, value in values.items():
        if not isinstance(value, bool if key == "skip_tls_verify" else str):
            raise ValueError(f"{KEY}: {key} of {name} cannot be {value!r}")
    return Made(**values)


def to_keep(made: Mapping[str, Made]) -> dict[str, object]:
    """What `kept` reads."""
    return {name: asdict(one) for name, one in made.items()}


def check_name(name: str) -> None:
    """Raises ValueError."""
    if not _NAME.fullmatch(name):
        raise ValueError(
            f'context name "{name}" is invalid, names are validated against regexp "^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$"'
        )
