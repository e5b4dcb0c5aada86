"""`volumes` of a service."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from desktop.compose import values
from desktop.compose.errors import ComposeError
from desktop.compose.model.common import TEXT
from desktop.compose.shapes.base import Base, wrong
from desktop.compose.shapes.collections import Listing, field_key
from desktop.compose.shapes.objects import Object, extensions, of
from desktop.compose.shapes.scalars import Bool, Choice, Int, Size
from desktop.compose.yamltree import Node


@dataclass(frozen=True, slots=True)
class BindOptions:
    """`bind` of a mount."""

    selinux: str = of(TEXT)
    propagation: str = of(TEXT)
    create_host_path: bool = of(Bool(), False)
    recursive: str = of(TEXT)
    extensions: Mapping[str, Any] = extensions()


@dataclass(frozen=True, slots=True)
class VolumeOptions:
    """`volume` of a mount."""

    nocopy: bool = of(Bool(), False)
    subpath: str = of(TEXT)
    extensions: Mapping[str, Any] = extensions()


@dataclass(frozen=True, slots=True)
class TmpfsOptions:
    """`tmpfs` of a mount."""

    size: int = of(Size(least=0), 0)
    mode: int = of(Int(), 0)
    extensions: Mapping[str, Any] = extensions()


@dataclass(frozen=True, slots=True)
class Mount:
    """A volume, folder or tmpfs in a container."""

    type: str = of(Choice(words=("bind", "volume", "tmpfs", "cluster", "npipe", "image")))
    source: str = of(TEXT)
    target: str = of(TEXT)
    read_only: bool = of(Bool(), False)
    consistency: str = of(TEXT)
    bind: BindOptions | None = of(Object(BindOptions), None)
    volume: VolumeOptions | None = of(Object(VolumeOptions), None)
    tmpfs: TmpfsOptions | None = of(Object(TmpfsOptions), None)
    extensions: Mapping[str, Any] = extensions()


def _mount(node: Node, what: str) -> Node:
    if not isinstance(node.value, str):
        raise wrong(node, what, "a string or a mapping")
    try:
        volume = values.parse_volume(node.value)
    except ValueError as e:
        raise ComposeError(f"{what}: {e}", node.mark) from e
    parts: dict[str, Any] = {"type": volume.kind, "source": volume.source, "target": volume.target}
    found = {key: Node(part, node.mark) for key, part in parts.items() if part}
    if volume.read_only:
        found["read_only"] = Node(True, node.mark)
    options = {"selinux": volume.selinux, "propagation": volume.propagation}
    bind: dict[str, Any] = {key: Node(part, node.mark) for key, part in options.items() if part}
    if volume.kind == "bind":
        bind["create_host_path"] = Node(True, node.mark)
    if bind:
        found["bind"] = Node(bind, node.mark)
    if volume.kind == "volume" or volume.nocopy:
        found["volume"] = Node({"nocopy": Node(True, node.mark)} if volume.nocopy else {}, node.mark)
    return node.of(found)


def _mount_path(node: Node, base: Base) -> Node:
    kind, source, target = node.get("type"), node.get("source"), node.get("target")
    found = dict(node.value)
    if kind is not None and kind.value == "bind":
        if source is None or not isinstance(source.value, str):
            raise ComposeError("a bind mount lacks its source", node.where)
        found["source"] = source.of(base.unix_path(source.value))
    if target is not None and isinstance(target.value, str) and target.value:
        found["target"] = target.of(posixpath.normpath(target.value))
    return node.of(found)


VOLUMES = Listing(
    Object(Mount, short=_mount, complete=_mount_path, required=("type", "target")), key=field_key("target")
)
