"""What several parts of a project share: texts, labels, limits, files that are mounted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from desktop.compose.errors import ComposeError
from desktop.compose.shapes.base import Base, wrong
from desktop.compose.shapes.collections import Listing, Named, Pairs, text_key
from desktop.compose.shapes.objects import Object, extensions, of
from desktop.compose.shapes.scalars import Bool, Int, Text
from desktop.compose.yamltree import Node

TEXT = Text()
TEXTS = Listing(TEXT)
ONCE = Listing(TEXT, key=text_key)
LABELS = Pairs()
OPTIONS = Pairs(only_mapping=True)
Labels = Mapping[str, str]


class Always(Text):
    """A string that is written even if it is empty."""

    always = True


class AlwaysBool(Bool):
    """A boolean that is written even if it is false."""

    always = True


def text_as(key: str) -> Callable[[Node, str], Node]:
    """The short form of a mapping: a string is the value of `key`."""

    def short(node: Node, what: str) -> Node:
        if not isinstance(node.value, str):
            raise wrong(node, what, "a string or a mapping")
        return node.of({key: Node(node.value, node.mark)})

    return short


@dataclass(frozen=True, slots=True)
class Ulimit:
    """A resource limit; `single` is soft and hard limit in one."""

    single: int = of(Int(), 0)
    soft: int = of(Int(), 0)
    hard: int = of(Int(), 0)


def _ulimit(node: Node, what: str) -> Node:
    value = Int().canonical(node, Base(None), what)
    return node.of({"single": value})


def _check_ulimit(node: Node, what: str) -> None:
    for name in ("soft", "hard"):
        if node.get("single") is None and node.get(name) is None:
            raise ComposeError(f"{what} lacks its {name!r}", node.where)


def _write_ulimit(shape: Object, limit: Ulimit, yaml: bool) -> Any:
    if limit.single:
        return limit.single
    return {"soft": limit.soft, "hard": limit.hard} if yaml else shape.fields(limit, yaml=yaml)


ULIMITS = Named(
    Object(Ulimit, short=_ulimit, check=_check_ulimit, write=_write_ulimit, combine=lambda under, over: over)
)


@dataclass(frozen=True, slots=True)
class FileMount:
    """A config or secret in a container; `mode` is None where it is not given."""

    source: str = of(TEXT)
    target: str = of(TEXT)
    uid: str = of(Text(numbers=True))
    gid: str = of(Text(numbers=True))
    mode: int | None = of(Int(optional=True), None)
    extensions: Mapping[str, Any] = extensions()


def _mount_key(folder: str) -> Any:
    def key(node: Node) -> object:
        target, source = node.get("target"), node.get("source")
        return target.value if target is not None else f"{folder}/{source.value if source is not None else ''}"

    return key


FILE_MOUNT = Object(FileMount, short=text_as("source"))
CONFIG_MOUNTS = Listing(FILE_MOUNT, key=_mount_key(""))
SECRET_MOUNTS = Listing(FILE_MOUNT, key=_mount_key("/run/secrets"))
