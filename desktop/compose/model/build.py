"""`build` of a service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from desktop.compose.model.common import (
    FILE_MOUNT,
    LABELS,
    ONCE,
    TEXT,
    TEXTS,
    ULIMITS,
    FileMount,
    Labels,
    Ulimit,
    text_as,
)
from desktop.compose.shapes.collections import Hosts, Listing, Pairs
from desktop.compose.shapes.objects import Object, extensions, of
from desktop.compose.shapes.scalars import Bool, PathText, Size, Text
from desktop.compose.yamltree import Node


@dataclass(frozen=True, slots=True)
class SshKey:
    """A key of `build.ssh`; without a path it is the agent's."""

    id: str
    path: str = ""


class SshKeys(Pairs):
    """`build.ssh`: a mapping, or a list of `ID=PATH`; `default` needs no path."""

    def value(self, node: Node) -> Any:
        found: Mapping[str, str] = super().value(node)
        return tuple(SshKey(name, path or "") for name, path in sorted(found.items()))

    def plain(self, value: Any, *, yaml: bool) -> Any:
        return [f"{key.id}: {key.path}" if key.path else key.id for key in value]


@dataclass(frozen=True, slots=True)
class Build:
    """How a service's image is built."""

    context: str = of(PathText(remote=True))
    dockerfile: str | None = of(Text(optional=True), None)  # None: Dockerfile, or the inline one
    dockerfile_inline: str = of(TEXT)
    entitlements: tuple[str, ...] = of(TEXTS, ())
    args: Mapping[str, str | None] = of(Pairs(nulls=True), {})
    ssh: tuple[SshKey, ...] = of(SshKeys(path=PathText()), ())
    labels: Labels = of(LABELS, {})
    cache_from: tuple[str, ...] = of(TEXTS, ())
    cache_to: tuple[str, ...] = of(TEXTS, ())
    no_cache: bool = of(Bool(), False)
    additional_contexts: Mapping[str, str] = of(Pairs(path=PathText(remote=True), need_value=True), {})
    pull: bool = of(Bool(), False)
    extra_hosts: Mapping[str, tuple[str, ...]] = of(Hosts(), {})
    isolation: str = of(TEXT)
    network: str = of(TEXT)
    target: str = of(TEXT)
    secrets: tuple[FileMount, ...] = of(Listing(FILE_MOUNT), ())
    shm_size: int = of(Size(), 0)
    tags: tuple[str, ...] = of(ONCE, ())
    ulimits: Mapping[str, Ulimit] = of(ULIMITS, {})
    platforms: tuple[str, ...] = of(TEXTS, ())
    privileged: bool = of(Bool(), False)
    extensions: Mapping[str, Any] = extensions()


BUILD = Object(Build, short=text_as("context"))
