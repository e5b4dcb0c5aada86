"""Volumes with the containers that use them, and the table's columns."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from desktop.client.engine import EngineClient
from desktop.ui.feed.collection import Collection
from desktop.ui.feed.container import ANONYMOUS, PROJECT_LABEL, Container
from desktop.ui.feed.happening import Happening
from desktop.ui.kit.elide import fit_start
from desktop.ui.kit.rows import Cell, Column, Segment
from desktop.ui.kit.words import disk, from_rfc3339, tr

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
ANONYMOUS_LABEL = "com.docker.volume.anonymous"


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """One volume. `size` in bytes, None until it was measured; `users` are the containers that mount it."""

    name: str
    driver: str = "local"
    mountpoint: str = ""
    created_s: float = 0.0
    labels: Mapping[str, str] = field(default_factory=dict)
    size: int | None = None
    users: tuple[Container, ...] = ()

    @classmethod
    def from_list(cls, entry: Mapping[str, Any]) -> Volume:
        """From one entry of `GET /volumes`, or of `GET /system/df`, which adds the size."""
        size = int((entry.get("UsageData") or {}).get("Size", -1))
        return cls(
            name=str(entry["Name"]),
            driver=str(entry.get("Driver", "local")),
            mountpoint=str(entry.get("Mountpoint", "")),
            created_s=from_rfc3339(str(entry.get("CreatedAt", ""))) or 0.0,
            labels=dict(entry.get("Labels") or {}),
            size=size if size >= 0 else None,
        )

    @property
    def is_anonymous(self) -> bool:
        return ANONYMOUS_LABEL in self.labels or bool(ANONYMOUS.fullmatch(self.name))

    @property
    def project(self) -> str:
        return self.labels.get(PROJECT_LABEL, "")

    @property
    def in_use(self) -> bool:
        return bool(self.users)

    @property
    def title(self) -> str:
        """Its name; of an anonymous one, the first 12 characters."""
        return self.name[:12] if self.is_anonymous else self.name

    @property
    def used_by(self) -> str:
        return ", ".join(user.name for user in self.users) or tr("nobody")

    def with_users(self, containers: list[Container]) -> Volume:
        return replace(self, users=tuple(c for c in containers if self.name in c.volumes))


def _read(client: EngineClient) -> list[Volume]:
    return [Volume.from_list(entry) for entry in client.volumes()]


def _changed_by(happening: Happening) -> bool:
    return happening.kind == "volume" and happening.action in ("create", "destroy", "prune")


def collection() -> Collection[Volume]:
    """The engine's volumes, without sizes."""
    return Collection("volumes", tr("The list of volumes"), _read, _changed_by)


def measured(client: EngineClient) -> dict[str, int]:
    """The size of each volume in bytes. Reads all their files, so it may take long."""
    volumes = [Volume.from_list(entry) for entry in client.disk_usage("volume").get("Volumes") or ()]
    return {volume.name: volume.size for volume in volumes if volume.size is not None}


def columns() -> tuple[Column[Volume], ...]:
    return (
        Column(
            title=tr("Name"),
            cell=lambda v: Cell(
                text=v.title,
                chip=tr("anonymous") if v.is_anonymous else "",
                icon="database",
                role="mono" if v.is_anonymous else "name",
                tone="text",
            ),
            tip=lambda v: v.name,
            share=3,
        ),
        Column(title=tr("Used by"), cell=lambda v: Cell(text=v.used_by, role="body"), share=2, fit=fit_start),
        Column(
            title=tr("Size"),
            cell=lambda v: Cell(text="" if v.size is None else disk(v.size)),
            order=lambda v: -1 if v.size is None else v.size,
            width=92,
            right=True,
            descends=True,
        ),
    )


def segments() -> tuple[Segment[Volume], ...]:
    return (
        Segment(tr("All"), lambda v: True),
        Segment(tr("In use"), lambda v: v.in_use),
        Segment(tr("Not in use"), lambda v: not v.in_use),
    )


def wrong_name(text: str) -> str:
    """Why `text` cannot be a volume's name; empty if it can."""
    if NAME.fullmatch(text) and len(text) > 1:
        return ""
    return tr("A name has letters, digits, and “_”, “.”, “-” after the first character; two at least.")
