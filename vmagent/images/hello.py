"""The image cove/hello, made on the spot: one layer with one static program. Needs no network.

The label tells the engine that this container may be told its process number and namespaces of the world outside;
the program prints them.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Sequence

from vmagent.images.config import Config
from vmagent.images.platforms import Platform
from vmagent.images.tarstream import DIRECTORY
from vmagent.images.tarwriter import archive, header
from vmagent.native import binary

NAME = "cove/hello"
OUTSIDE_LABEL = "io.cove.outside"
# One date for all: the same program gives the same image on every machine.
CREATED = "2026-01-01T00:00:00Z"
_MTIME_NS = 1_767_225_600 * 10**9


def layer(program: bytes) -> bytes:
    """The layer's tar: /hello and nothing else; the runtime makes the folders it mounts on."""
    return archive(
        [
            (header("./", DIRECTORY, mode=0o755, mtime_ns=_MTIME_NS), b""),
            (header("hello", size=len(program), mode=0o755, mtime_ns=_MTIME_NS), program),
        ]
    )


def is_own(layers: Sequence[str]) -> bool:
    """Whether these layers (diff_ids) are exactly this program's; an image's name and labels can be forged."""
    return list(layers) == [_own_layer()]


@functools.cache
def _own_layer() -> str:
    try:
        program = binary("hello", os.uname().machine).read_bytes()
    except FileNotFoundError:
        return ""
    return f"sha256:{hashlib.sha256(layer(program)).hexdigest()}"


def config(platform: Platform) -> Config:
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
