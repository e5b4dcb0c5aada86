"""The known containers and images of one engine, and which container uses which image. No Qt, one thread."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from desktop.ui.feed.container import Container
from desktop.ui.feed.image import Image


class Inventory:
    """Containers by id, and images. `load` replaces everything. Older data does not add a dropped container again."""

    def __init__(self) -> None:
        self._containers: dict[str, Container] = {}
        self._dropped: set[str] = set()
        self._images: list[Image] | None = None
        self._images_changed = False

    def load(self, containers: Iterable[Container]) -> None:
        """Replace the containers with `containers`."""
        self._containers = {container.id: container for container in containers}
        self._dropped = set()
        self._images_changed = True

    def put(self, container: Container) -> bool:
        """Store new data of `container`. False: it was deleted in the meantime, and the data is older."""
        if container.id in self._dropped:
            return False
        before = self._containers.get(container.id)
        self._containers[container.id] = container
        if before is None or (before.image_id, before.name) != (container.image_id, container.name):
            self._images_changed = True
        return True

    def drop(self, container_id: str) -> None:
        """Remove a deleted container; unknown ids are ignored."""
        self._dropped.add(container_id)
        if self._containers.pop(container_id, None) is not None:
            self._images_changed = True

    def name_of(self, container_id: str) -> str:
        """The container's name, or the short id if it is unknown."""
        known = self._containers.get(container_id)
        return known.name if known else container_id[:12]

    def set_images(self, images: list[Image]) -> None:
        """Replace the images with `images`; their `used_by` is filled in by `changed_images`."""
        self._images = images
        self._images_changed = True

    def changed_images(self) -> list[Image] | None:
        """The images, each with the names of the containers that use it; None: nothing has changed since the last call,
        or no images have been read yet."""
        if self._images is None or not self._images_changed:
            return None
        self._images_changed = False
        users: dict[str, list[str]] = {}
        for container in self._containers.values():
            users.setdefault(container.image_id, []).append(container.name)
        return [replace(image, used_by=tuple(users.get(image.id, ()))) for image in self._images]
