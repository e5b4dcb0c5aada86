"""`--output`, `--load` and `--push` of `cove build`, by the words of docker's buildx."""

from __future__ import annotations

import csv
import sys
import tarfile
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from desktop.cli import streams
from desktop.cli.app import Failure
from desktop.cli.cp import own
from desktop.cli.untar import unpack
from desktop.client.archives import Reader

_STDOUT = "-"
_FILES = ("local", "tar", "oci", "docker")  # types of which the client gets files


@dataclass(frozen=True, slots=True)
class Outputs:
    """What becomes of a build. `kind`: one of the types that give files, "" for an image in the engine's store."""

    kind: str = ""
    target: str = ""  # the folder or file of `kind`; "-": stdout
    names: tuple[str, ...] = ()  # further names of the image
    is_pushed: bool = False

    def write(self, pieces: Iterator[bytes]) -> None:
        """Write what the engine sends to the target; nothing if it sends nothing. Raises Failure, and what `pieces`
        raises, which is read to its end."""
        first = next(pieces, b"")
        if not first:
            return
        try:
            if self.kind == "local":
                self._unpack(_joined(first, pieces))
            elif self.target == _STDOUT:
                for piece in _joined(first, pieces):
                    streams.write_all(1, piece)
            else:
                with open(self.target, "wb") as file:
                    for piece in _joined(first, pieces):
                        file.write(piece)
        except (OSError, tarfile.TarError) as e:
            raise Failure(f"failed to write the output to {self.target}: {e}") from e
        for _ in pieces:
            pass

    def _unpack(self, pieces: Iterator[bytes]) -> None:
        def ours(member: tarfile.TarInfo) -> tarfile.TarInfo:
            made = copy(member)
            made.uid, made.gid, made.uname, made.gname = own("getuid"), own("getgid"), "", ""
            return made

        folder = Path(self.target)
        folder.mkdir(parents=True, exist_ok=True)
        with tarfile.open(fileobj=cast("IO[bytes]", Reader(pieces)), mode="r|") as tar:
            unpack(tar, folder, ours)


def _joined(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def outputs(values: Sequence[str], *, load: bool, push: bool) -> Outputs:
    """Raises Failure, with 125 for what is no output, and for two that give files."""
    kind = target = ""
    names: list[str] = []
    is_pushed = push
    for value in values:
        found = _pairs(value)
        if found["type"] in ("image", "registry") or (found["type"] == "docker" and "dest" not in found):
            names += [name for name in found.get("name", "").split(",") if name]
            is_pushed |= found["type"] == "registry" or found.get("push") in ("true", "1")
            continue
        if kind:
            raise Failure("multiple outputs currently unsupported by the current BuildKit daemon: one can give files")
        kind, target = found["type"], _target(found["type"], found.get("dest", ""))
        names += [name for name in found.get("name", "").split(",") if name]
    if kind and (load or is_pushed):
        raise Failure(f"an output of type {kind} cannot be combined with an image that is kept or pushed")
    return Outputs(kind, target, tuple(names), is_pushed)


def _pairs(value: str) -> dict[str, str]:
    fields = next(csv.reader([value]), [])
    if len(fields) == 1 and not fields[0].startswith("type="):
        return {"type": "tar", "dest": _STDOUT} if fields[0] == _STDOUT else {"type": "local", "dest": fields[0]}
    found: dict[str, str] = {}
    for field in fields:
        key, sign, said = field.partition("=")
        if not sign:
            raise Failure(f"invalid value {field}")
        found[key.lower()] = said
    if not found.get("type"):
        raise Failure("type is required for output")
    if found["type"] not in (*_FILES, "image", "registry"):
        raise Failure(f'exporter "{found["type"]}" could not be found')
    return found


def _target(kind: str, target: str) -> str:
    if kind == "local":
        if target in ("", _STDOUT):
            raise Failure("dest is required for local exporter" if not target else "dest cannot be stdout for local")
        if Path(target).exists() and not Path(target).is_dir():
            raise Failure(f"destination path {target} must be a directory")
        return target
    if not target or target == _STDOUT:
        if sys.stdout.isatty():
            raise Failure(f"dest file is required for {kind} exporter. refusing to write to console")
        return _STDOUT
    if Path(target).is_dir():
        raise Failure(f"destination file {target} is a directory")
    return target
