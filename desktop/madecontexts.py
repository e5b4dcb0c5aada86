"""Contexts that users have made, of engines on other machines, by ssh or TLS; in config.json, under `contexts`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

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

    @classmethod
    def from_options(cls, text: str, description: str) -> Made:
        """Docker's `--docker host=…,ca=…,cert=…,key=…,skip-tls-verify=…`. Raises ValueError."""
        found: dict[str, str] = {}
        for option in text.split(","):
            name, equals, value = option.partition("=")
            if not equals or name not in ("host", "ca", "cert", "key", "skip-tls-verify"):
                raise ValueError(f'unrecognized config key: "{name}"')
            found[name] = value
        if not found.get("host"):
            raise ValueError(
                "docker endpoint configuration is required: host=ssh://[user@]host or host=tcp://host:2376"
            )
        files = {name: str(Path(found[name]).absolute()) for name in ("ca", "cert", "key") if found.get(name)}
        for path in files.values():
            if not Path(path).is_file():
                raise ValueError(f"open {path}: no such file or directory")
        is_open = found.get("skip-tls-verify", "").lower() in ("true", "1")
        made = cls(found["host"], description, skip_tls_verify=is_open, **files)
        made.endpoint()
        return made


def kept(value: object) -> dict[str, Made]:
    """By name, from what stands in the file. Raises ValueError."""
    found = value or {}
    known = {field.name for field in fields(Made)}
    if not isinstance(found, dict) or not all(isinstance(one, dict) and "host" in one for one in found.values()):
        raise ValueError(f"{KEY} is no object of contexts")
    return {name: Made(**{key: one[key] for key in one if key in known}) for name, one in found.items()}


def to_keep(made: Mapping[str, Made]) -> dict[str, object]:
    """What `kept` reads."""
    return {name: asdict(one) for name, one in made.items()}


def check_name(name: str) -> None:
    """Raises ValueError."""
    if not _NAME.fullmatch(name):
        raise ValueError(
            f'context name "{name}" is invalid, names are validated against regexp "^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$"'
        )
