"""`--dry-run`: a client that reads from the engine and changes nothing."""

from __future__ import annotations

import secrets
from typing import Any

from desktop.client.api import ApiError, Query
from desktop.client.engine import EngineClient
from desktop.client.http import Body, Endpoint, Response

_READING = ("GET", "HEAD")


class Rehearsal(EngineClient):
    """Answers each request that would change something as if it had been done. Threads may share it."""

    def __init__(self, endpoint: Endpoint, timeout_s: float | None = None) -> None:
        super().__init__(endpoint, timeout_s)
        self._images: dict[str, str] = {}  # ID of each one that would have been pulled or built

    def make_image(self, name: str) -> None:
        """From now on an image of this name is there, if it was not before."""
        self._images[name] = f"sha256:{secrets.token_hex(32)}"

    def image_inspect(self, image: str, *, platform: str | None = None, manifests: bool = False) -> dict[str, Any]:
        try:
            return super().image_inspect(image, platform=platform, manifests=manifests)
        except ApiError:
            if image not in self._images:
                raise
            return {"Id": self._images[image], "Config": {}}

    def request(self, method: str, *args: Any, **options: Any) -> Any:
        if method in _READING:
            return super().request(method, *args, **options)
        return {"Id": secrets.token_hex(32), "Warnings": []} if method == "POST" else None

    def wait(self, container: str, condition: str | None = None) -> int:
        return 0

    def put_archive(self, container: str, folder: str, tar: Body, query: Query | None = None) -> None:
        pass

    def exchange(self, method: str, target: str, *args: Any, **options: Any) -> Response:
        """All that is sent goes through here."""
        if method not in _READING:
            raise AssertionError(f"{method} {target} in a dry run")
        return super().exchange(method, target, *args, **options)
