"""The known containers and images of one engine, and which container uses which image. No Qt, one thread."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from desktop.ui.feed.container import Container
from desktop.ui.feed.image import Image


class Inventory:
    """Containers by id, and images. `load` replaces everything. Older data changes nothing, and does
    not add a dropped container again; data from after its deletion does, since it may have been brought back."""

    def __init__(self) -> None:
        self._containers: dict[str, Container] = {}
        self._dropped: dict[str, float] = {}  # when it was gone, as `Container.asked_s`
        self._images: list[Image] | None = None
        self._images_changed = False

    def load(self, containers: Iterable[Container]) -> None:
        """Replace the containers with `containers`."""
        self._containers = {container.id: container for container in containers}
        self._dropped = {}
        self._images_changed = True

    def put(self, container: Container) -> bool:
        """Store new data of `container`. False: it was deleted in the meantime, or the engine was asked later for what
        is known. Two may ask at once, so answers come in any order; what changes after the later question leads to
        another one."""
        before = self._containers.get(container.id)
        if container.asked_s <= self._dropped.get(container.id, -1.0):
            return False
        if before is not None and before.asked_s > container.asked_s:
            return False
        self._dropped.pop(container.id, None)
        self._containers[container.id] = _with_last_end(container, before)
        if before is None or (before.image_id, before.name) != (container.image_id, container.name):
            self._images_changed = True
        return True

    def known(self, container: Container) -> Container:
        """What is known of a container that was put."""
        return self._containers[container.id]

    def drop(self, container_id: str, at_s: float) -> bool:
        """Remove a container that was gone at `at_s`; unknown ids are ignored. False: it was there later than that."""
        known = self._containers.get(container_id)
        if known is not None and known.asked_s > at_s:
            return False
        self._dropped[container_id] = at_s
        if self._containers.pop(container_id, None) is not None:
            self._images_changed = True
        return True

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


def _with_last_end(container: Container, before: Container | None) -> Container:
    """With the exit status of its last end, which the engine no longer tells while a restarted container runs."""
    if before is None or container.status != "running" or not container.restart_count or container.exit_code:
        return container
    return replace(container, exit_code=before.exit_code)
