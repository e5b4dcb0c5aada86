"""A compose file as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from desktop.compose.model.common import TEXT, text_as
from desktop.compose.model.resources import CONFIGS, NAMED_VOLUMES, NETWORKS, SECRETS, FileObject, Network, Volume
from desktop.compose.model.service import SERVICE, Service
from desktop.compose.shapes.collections import Listing, Named
from desktop.compose.shapes.objects import Object, extensions, of
from desktop.compose.shapes.scalars import Text


@dataclass(frozen=True, slots=True)
class Include:
    """Other compose files, with a project folder and env files of their own. Relative to the including project."""

    path: tuple[str, ...] = of(Listing(TEXT, single=True), ())
    project_directory: str = of(TEXT)
    env_file: tuple[str, ...] = of(Listing(TEXT, single=True), ())


INCLUDE = Object(Include, short=text_as("path"), required=("path",))


@dataclass(frozen=True, slots=True)
class File:
    """A whole compose file, or several merged."""

    version: str = of(Text(numbers=True))
    name: str = of(TEXT)
    include: tuple[Include, ...] = of(Listing(INCLUDE), ())
    services: Mapping[str, Service] = of(Named(SERVICE), {})
    networks: Mapping[str, Network | None] = of(NETWORKS, {})
    volumes: Mapping[str, Volume | None] = of(NAMED_VOLUMES, {})
    secrets: Mapping[str, FileObject] = of(SECRETS, {})
    configs: Mapping[str, FileObject] = of(CONFIGS, {})
    extensions: Mapping[str, Any] = extensions()


FILE = Object(File)
