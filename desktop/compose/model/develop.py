"""Hooks, and `develop` of a service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from desktop.compose.model.common import TEXT, TEXTS
from desktop.compose.shapes.collections import Command, Listing, Pairs
from desktop.compose.shapes.objects import Object, extensions, of
from desktop.compose.shapes.scalars import Bool, Choice, PathText


@dataclass(frozen=True, slots=True)
class Hook:
    """A command that is run in a container after its start or before its stop."""

    command: tuple[str, ...] | None = of(Command(always=True), None)
    user: str = of(TEXT)
    privileged: bool = of(Bool(), False)
    working_dir: str = of(TEXT)
    environment: Mapping[str, str | None] = of(Pairs(nulls=True), {})
    extensions: Mapping[str, Any] = extensions()


HOOKS = Listing(Object(Hook))


@dataclass(frozen=True, slots=True)
class Trigger:
    """What `watch` does when files change."""

    path: str = of(PathText(real=True))
    action: str = of(Choice(words=("rebuild", "sync", "restart", "sync+restart", "sync+exec")))
    target: str = of(TEXT)
    exec: Hook = of(Object(Hook, keep=True), Hook())
    include: tuple[str, ...] = of(TEXTS, ())
    ignore: tuple[str, ...] = of(TEXTS, ())
    initial_sync: bool = of(Bool(), False)
    extensions: Mapping[str, Any] = extensions()


@dataclass(frozen=True, slots=True)
class Develop:
    """`develop`."""

    watch: tuple[Trigger, ...] = of(Listing(Object(Trigger, required=("path", "action"))), ())
    extensions: Mapping[str, Any] = extensions()
