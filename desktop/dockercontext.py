"""The context `cove` of the docker command line, in docker's own store: a folder for each context, whose name is the
SHA-256 of the context's name, with a file meta.json."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NAME = "cove"
_DESCRIPTION = "Cove"
_OURS = "MadeBy"  # docker keeps fields of a context's metadata that it does not know


class DockerContextError(Exception):
    """str() is one line."""


def config_folder(environ: Mapping[str, str], home: Path) -> Path:
    """The folder of docker's settings."""
    return Path(environ.get("DOCKER_CONFIG") or home / ".docker")


def install(config: Path, host: str) -> bool:
    """Make the context, for the engine at `host`, or change it to that. Returns whether it was made. Raises
    DockerContextError for one that a user has made, OSError."""
    file = _file(config)
    before = _read(file)
    if before is not None:
        _check_ours(before)
    record = {
        "Name": NAME,
        "Metadata": {"Description": _DESCRIPTION, _OURS: NAME},
        "Endpoints": {"docker": {"Host": host, "SkipTLSVerify": False}},
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(f".{os.getpid()}")
    temporary.write_text(json.dumps(record))
    temporary.replace(file)
    return before is None


def uninstall(config: Path) -> bool:
    """Remove the context. Returns whether there was one. Raises DockerContextError for one that is in use or that a
    user has made, OSError."""
    file = _file(config)
    before = _read(file)
    if before is None:
        return False
    _check_ours(before)
    chosen = _read(config / "config.json") or {}
    if chosen.get("currentContext") == NAME:
        raise DockerContextError(f"docker uses the context “{NAME}”. Choose another: docker context use default")
    file.unlink()
    with contextlib.suppress(OSError):  # what others have put there stays
        file.parent.rmdir()
    return True


def _file(config: Path) -> Path:
    return config / "contexts" / "meta" / hashlib.sha256(NAME.encode()).hexdigest() / "meta.json"


def _read(file: Path) -> dict[str, Any] | None:
    """None: there is none. Raises DockerContextError."""
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as e:
        raise DockerContextError(f"{file} can't be read: {e}") from e
    if not isinstance(value, dict):
        raise DockerContextError(f"{file} is no object of JSON")
    return value


def _check_ours(record: Mapping[str, Any]) -> None:
    metadata = record.get("Metadata")
    if not isinstance(metadata, dict) or metadata.get(_OURS) != NAME:
        raise DockerContextError(
            f"docker has a context “{NAME}” that was not made by this command. Remove it: docker context rm {NAME}"
        )
