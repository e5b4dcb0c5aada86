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

from desktop.context import Context, resolve
from desktop.paths import HostPaths

NAME = "cove"
_DESCRIPTION = "Cove"
_OURS = "MadeBy"  # docker keeps fields of a context's metadata that it does not know


class DockerContextError(Exception):
    """str() is one line."""


def config_folder(environ: Mapping[str, str], home: Path) -> Path:
    """The folder of docker's settings."""
    return Path(environ.get("DOCKER_CONFIG") or home / ".docker")


def install_for(chosen: Context, paths: HostPaths, environ: Mapping[str, str], home: Path) -> tuple[str, bool]:
    """Make the context for the engine in use, or change it to that: its address, and whether it was made. One that
    DOCKER_HOST chose is docker's own choice, and no engine of ours: then it is for the engine without that variable.
    Raises DockerContextError, ContextError, OSError."""
    if chosen.source == "DOCKER_HOST":
        chosen = resolve(paths, {name: value for name, value in environ.items() if name != "DOCKER_HOST"})
    host = str(chosen.endpoint)
    if chosen.endpoint.tls is not None:
        raise DockerContextError(
            f"docker's context would not have the certificates for {host}: docker context create makes one"
        )
    return host, install(config_folder(environ, home), host)


def installed(config: Path) -> str | None:
    """The address of the context, if it was made here. Raises DockerContextError."""
    found = _read(_file(config))
    if found is None:
        return None
    _check_ours(found)
    endpoints = found.get("Endpoints")
    docker = endpoints.get("docker") if isinstance(endpoints, dict) else None
    return str(docker.get("Host") or "") if isinstance(docker, dict) else ""


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
