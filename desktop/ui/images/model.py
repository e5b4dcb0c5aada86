"""The images as rows, one per name, with their columns and segments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from PySide6.QtCore import QObject

from desktop.ui.feed.image import Image
from desktop.ui.kit.elide import fit_image
from desktop.ui.kit.rows import Cell, Column, Rows, Segment
from desktop.ui.kit.words import age, disk, natural, short_id, tr


@dataclass(frozen=True, slots=True)
class NamedImage:
    """An image under one of its names; untagged ones have none."""

    image: Image
    tag: str

    @property
    def key(self) -> str:
        return self.tag or self.image.id

    @property
    def title(self) -> tuple[str, str]:
        """The repository and the tag with its colon."""
        if not self.tag:
            return short_id(self.image.id), ""
        slash = self.tag.rfind("/")
        name, colon, tag = self.tag[slash + 1 :].partition(":")
        return self.tag[: slash + 1] + name, colon + tag

    @property
    def in_use(self) -> bool:
        return bool(self.image.used_by)

    @property
    def age(self) -> str:
        """The age of the image; empty without a creation time (reproducible builds)."""
        if self.image.created_s < 86_400:
            return tr("built in") if self.tag.startswith("cove/hello") else ""
        return age(self.image.created_s)


def columns() -> tuple[Column[NamedImage], ...]:
    return (
        Column(
            title=tr("Name"),
            cell=lambda row: Cell(
                text=row.title[0], tail=row.title[1], chip=tr("in use") if row.in_use else "", role="name", tone="text"
            ),
            order=lambda row: (not row.tag, natural(row.tag), row.image.id),
            fit=fit_image,
            tip=lambda row: f"{row.tag}\n{short_id(row.image.id)}".strip(),
        ),
        Column(
            title=tr("Size"),
            cell=lambda row: Cell(text=disk(row.image.size)),
            order=lambda row: row.image.size,
            descends=True,
            width=84,
            right=True,
        ),
        Column(
            title=tr("Age"),
            cell=lambda row: Cell(text=row.age),
            order=lambda row: -row.image.created_s,
            width=92,
            right=True,
        ),
    )


def segments() -> tuple[Segment[NamedImage], ...]:
    return (
        Segment(tr("All"), lambda row: True),
        Segment(tr("In use"), lambda row: row.in_use),
        Segment(tr("Not in use"), lambda row: not row.in_use),
        Segment(tr("Untagged"), lambda row: not row.tag),
    )


class ImageModel(Rows[NamedImage]):
    """All images of the engine; `load_images` takes the whole list after each event that changes it."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(columns(), lambda row: row.key, lambda row: f"{row.tag} {row.image.id}", parent)
        self.images: Sequence[Image] = ()

    def load_images(self, images: Iterable[Image]) -> None:
        self.images = tuple(images)
        self.load(NamedImage(image, tag) for image in self.images for tag in image.tags or ("",))

    @property
    def unused_bytes(self) -> int:
        """The sum of the sizes of images that no container uses."""
        return sum(image.size for image in self.images if not image.used_by)

    @property
    def total_bytes(self) -> int:
        """The sum of the images' sizes in bytes; an image with several names counts once."""
        return sum(image.size for image in self.images)
