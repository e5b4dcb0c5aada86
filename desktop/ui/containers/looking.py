"""The inspect data of one container and of its image, for the tabs that show it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from desktop.client.engine import ApiError
from desktop.ui.feed.container import Container
from desktop.ui.feed.session import EngineSession
from desktop.ui.feed.workers import Latest


@dataclass(frozen=True, slots=True)
class Inspected:
    """`data` as `GET /containers/{id}/json` says it; `image` is the Config of its image, empty if that was deleted."""

    data: Mapping[str, Any]
    image: Mapping[str, Any]


class Looker:
    """Inspects containers; the image, which does not change, once."""

    def __init__(self, session: EngineSession) -> None:
        self._session = session
        self._latest = Latest(session.workers)
        self._image: tuple[str, Mapping[str, Any]] = ("", {})

    def look(
        self, container: Container, told: Callable[[Inspected], None], failed: Callable[[Exception], None]
    ) -> None:
        """Call `told` with the container's data, or `failed`; neither if another look was asked for meanwhile."""
        client, known = self._session.client, self._image

        def ask() -> tuple[Inspected, str]:
            data = client.inspect(container.id)
            image_id = str(data.get("Image", ""))
            if image_id == known[0]:
                return Inspected(data, known[1]), image_id
            try:
                return Inspected(data, client.image_inspect(image_id).get("Config") or {}), image_id
            except ApiError as e:
                if e.status != 404:  # the image was deleted although the container uses it
                    raise
                return Inspected(data, {}), image_id

        def answer(result: tuple[Inspected, str]) -> None:
            inspected, image_id = result
            self._image = image_id, inspected.image
            told(inspected)

        self._latest.run(ask, answer, failed)

    def drop(self) -> None:
        """Nobody wants to know any more."""
        self._latest.drop()
