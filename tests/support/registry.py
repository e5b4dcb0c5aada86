"""Debian's docker-registry on a free port of an address of this machine."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import bcrypt

from tests.support.ending import ENDS_WITH_US
from tests.support.limits import HANG_S
from tests.support.sockets import free_port


@contextlib.contextmanager
def registry(
    folder: Path,
    *,
    host: str = "127.0.0.1",
    http: Mapping[str, Any] | None = None,
    auth: Mapping[str, Any] | None = None,
) -> Iterator[str]:
    """A real registry with its data under `folder`; yields HOST:PORT. `http`, `auth`: more of its configuration
    (https://distribution.github.io/distribution/about/configuration/)."""
    port = free_port()
    settings = {
        "version": 0.1,
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "registry")}, "delete": {"enabled": True}},
        "http": {"addr": f"{host}:{port}", **(http or {})},
        **({"auth": auth} if auth else {}),
    }
    config = folder / "registry.yml"
    config.write_text(json.dumps(settings))  # JSON is YAML
    with (folder / "registry.log").open("wb") as log:
        process = subprocess.Popen([*ENDS_WITH_US, "docker-registry", "serve", config], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + HANG_S
        while True:
            with contextlib.suppress(OSError), socket.create_connection((host, port), 1):
                break
            assert time.monotonic() < deadline, (folder / "registry.log").read_text()
            time.sleep(0.02)  # no event says that it listens
        yield f"{host}:{port}"
    finally:
        process.terminate()
        process.wait(HANG_S)


def htpasswd(path: Path, **users: str) -> Mapping[str, Any]:
    """The registry's `auth` for these users and passwords, kept in the file `path`."""
    lines = [
        name.encode() + b":" + bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).replace(b"$2b$", b"$2y$") + b"\n"
        for name, password in users.items()
    ]
    path.write_bytes(b"".join(lines))
    return {"htpasswd": {"realm": "r", "path": str(path)}}
