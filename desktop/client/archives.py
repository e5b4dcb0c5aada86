"""What is at a path of a container or a volume, and the tar of it, as `cove cp` and the window's Files read them."""

from __future__ import annotations

import base64
import errno
import json
import os
import posixpath
from collections.abc import Iterable
from typing import NamedTuple

from desktop.client.api import ByteStream, Json, path_part
from desktop.client.engine import ApiError, EngineClient
from desktop.client.http import Body

_DIRECTORY, _LINK = 1 << 31, 1 << 27  # bits of Go's FileMode, as the engine sends it
_MOST_LINKS = 40  # as path_resolution(7)


class Filed(NamedTuple):
    """What has files: the paths of the engine's calls about a container, or (Cove's engine only) about a volume."""

    inspect: str
    archive: str
    files: str

    @classmethod
    def container(cls, ref: str) -> Filed:
        part = path_part(ref)
        return cls(f"/containers/{part}/json", f"/containers/{part}/archive", f"/cove/v1/containers/{part}/files")

    @classmethod
    def volume(cls, name: str) -> Filed:
        part = path_part(name)
        return cls(f"/volumes/{part}", f"/cove/v1/volumes/{part}/archive", f"/cove/v1/volumes/{part}/files")


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


def listing(client: EngineClient, filed: Filed, folder: str, most: int | None = None) -> Json:
    """What is in a folder, at most `most` entries (None: the engine's limit): `{"path", "total", "entries": [...]}`.

    Cove's engine only; others reply ApiError 404, as Cove's does where there is no such folder."""
    return client.json_object("GET", filed.files, {"path": folder, "most": most})


def get(client: EngineClient, filed: Filed, path: str) -> ByteStream:
    """The tar of a file or folder; of a path that ends in `/.`, of all in the folder. Raises the client's errors."""
    return ByteStream(client.call("GET", filed.archive, query={"path": path}))


def put(client: EngineClient, filed: Filed, folder: str, tar: Body, *, keeps_kind: bool = False) -> None:
    """Unpack a tar, plain or compressed, in a folder. `keeps_kind`: a folder is not replaced by what is none, nor the
    reverse. Raises the client's errors."""
    query = {"path": folder, "noOverwriteDirNonDir": keeps_kind or None}
    response = client.call("PUT", filed.archive, query=query, data=tar, headers={"Content-Type": "application/x-tar"})
    response.read()
    client.finish(response)


def find(client: EngineClient, filed: Filed, path: str, *, follow: bool = False) -> tuple[str, Stat | None]:
    """(`path`, its description); with `follow`, those at the end of the symbolic links. None: nothing is there.

    Raises the client's errors, OSError ELOOP for too many links.
    """
    for _ in range(_MOST_LINKS):
        try:
            response = client.call("HEAD", filed.archive, query={"path": path})
        except ApiError as e:
            if e.status == 404:
                client.request("GET", filed.inspect)  # raises if it is the container that does not exist
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
