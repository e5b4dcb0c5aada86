"""The image cove/hello, made on the spot: one layer with one static program. Needs no network.

The label tells the engine that this container may be told its process number and namespaces of the world outside;
the program prints them.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from vmagent.durable import fsync_dir, publish
from vmagent.images.config import Config, dump
from vmagent.images.flush import flush_few
from vmagent.images.layer import DIFF, UNFLUSHED, Kind, Layer, hex_of
from vmagent.images.platforms import Platform
from vmagent.images.records import ImageRecord
from vmagent.images.tarwriter import archive, header
from vmagent.native import binary

NAME = "cove/hello"
_FILE = "hello"
OUTSIDE_LABEL = "io.cove.outside"
# One date for all: the same program gives the same image on every machine.
CREATED = "2026-01-01T00:00:00Z"
_MTIME_NS = 1_767_225_600 * 10**9


def make(folder: Path, program: bytes) -> ImageRecord:
    """Make the image of `program` in `folder`, which is to be a finished ingest folder, flushed. Raises OSError.

    Its layer is of kind dir in every store, as one with few entries may be: a worker would take most of the time in
    which an emulated VM starts for the first time.
    """
    tar = _tar(program)
    diff_id = _digest(tar)
    made = folder / "layers" / hex_of(diff_id)
    (made / DIFF).mkdir(parents=True)
    file = made / DIFF / _FILE
    file.write_bytes(program)
    for path in (file, made / DIFF):
        path.chmod(0o755)
        os.utime(path, ns=(_MTIME_NS, _MTIME_NS))
    Layer(diff_id=diff_id, kind=Kind.DIR, size=len(program), tar_size=len(tar), blob=None).write(made, UNFLUSHED)
    flush_few(made)
    data = dump({**_config(Platform.host()), "rootfs": {"type": "layers", "diff_ids": [diff_id]}})
    record = ImageRecord(id=_digest(data), layers=(diff_id,))
    (folder / "blobs").mkdir()
    publish(folder / "blobs" / hex_of(record.id), data, mode=0o644)
    fsync_dir(folder / "layers")
    return record


def _tar(program: bytes) -> bytes:
    """The layer's tar, as the store would make it again from the files: /hello and nothing else. The runtime makes the
    folders that it mounts on."""
    return archive([(header(_FILE, size=len(program), mode=0o755, mtime_ns=_MTIME_NS), program)])


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def is_own(layers: Sequence[str]) -> bool:
    """Whether these layers (diff_ids) are exactly this program's; an image's name and labels can be forged."""
    return list(layers) == [_own_layer()]


@functools.cache
def _own_layer() -> str:
    try:
        program = binary("hello", os.uname().machine).read_bytes()
    except FileNotFoundError:
        return ""
    return _digest(_tar(program))


def _config(platform: Platform) -> Config:
    """Its config, but for the rootfs."""
    made: Config = {
        "created": CREATED,
        "architecture": platform.architecture,
        "os": platform.os,
        "config": {"Cmd": ["/hello"], "Env": ["PATH=/"], "Labels": {OUTSIDE_LABEL: "1"}, "WorkingDir": "/"},
        "history": [{"created": CREATED, "created_by": "cove", "comment": "made by the engine itself"}],
    }
    if platform.variant:
        made["variant"] = platform.variant
    return made
