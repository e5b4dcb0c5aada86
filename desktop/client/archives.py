"""What is at a path of a container, and the tar of it, as `cove cp` and the window's Files read them."""

from __future__ import annotations

import base64
import errno
import json
import os
import posixpath
from collections.abc import Iterable
from typing import NamedTuple

from desktop.client.api import path_part
from desktop.client.engine import ApiError, EngineClient

_DIRECTORY, _LINK = 1 << 31, 1 << 27  # bits of Go's FileMode, as the engine sends it
_MOST_LINKS = 40  # as path_resolution(7)


class Stat(NamedTuple):
    """The engine's description of a path (header X-Docker-Container-Path-Stat)."""

    name: str
    mode: int
    link: str

    @property
    def is_directory(self) -> bool:
        return bool(self.mode & _DIRECTORY)

    @property
    def is_link(self) -> bool:
        return bool(self.mode & _LINK)


def find(client: EngineClient, container: str, path: str, *, follow: bool = False) -> tuple[str, Stat | None]:
    """(`path`, its description); with `follow`, those at the end of the symbolic links. None: nothing is there.

    Raises the client's errors, OSError ELOOP for too many links.
    """
    for _ in range(_MOST_LINKS):
        try:
            response = client.call("HEAD", f"/containers/{path_part(container)}/archive", query={"path": path})
        except ApiError as e:
            if e.status == 404:
                client.inspect(container)  # raises if it is the container that does not exist
                return path, None
            raise
        client.finish(response)
        told = json.loads(base64.b64decode(response.headers["x-docker-container-path-stat"]))
        stat = Stat(told["name"], told["mode"], told["linkTarget"])
        if not follow or not stat.is_link:
            return path, stat
        path = posixpath.join(posixpath.dirname(path), stat.link)
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)


class Reader:
    """The pieces of a stream as a file to read from."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._buffer = b""

    def read(self, size: int) -> bytes:
        while len(self._buffer) < size and (piece := next(self._pieces, b"")):
            self._buffer += piece
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data
