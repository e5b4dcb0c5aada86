"""Events about containers, with the attributes that docker gives them."""

from __future__ import annotations

import asyncio

from vmagent.containers.model import Container
from vmagent.engine.events import EventBus


class ContainerEvents:
    """Publishes container events on the engine's bus. `last_at`: loop time of the last one."""

    def __init__(self, bus: EventBus) -> None:
        self._bus = bus
        self.last_at = 0.0

    def publish(self, record: Container, action: str, **extra: str) -> None:
        """Publish a container event; its attributes are all labels, image, name and `extra` (Engine API, events)."""
        self.last_at = asyncio.get_running_loop().time()
        attributes = {**record.labels, "image": record.image_ref, "name": record.name, **extra}
        self._bus.publish("container", action, record.id, attributes)

    def pruned(self, reclaimed_bytes: int) -> None:
        """Publish that a prune of containers has ended."""
        self._bus.publish("container", "prune", "", {"reclaimed": str(reclaimed_bytes)})
