"""The last successful runs, one per image, kept in the window's settings for quick-run and "as last time"."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

from PySide6.QtCore import QSettings

from desktop.ui.kit.secrets import is_secret
from desktop.ui.run.options import MountWish, PortWish, RunWish

KEPT = 12
KEY = "runs/recent"


class RecentRuns:
    """`all()` is newest first. Variables whose names suggest a secret are not stored."""

    def __init__(self, settings: QSettings) -> None:
        self._settings = settings
        self._runs = self._read()

    def all(self) -> list[RunWish]:
        return list(self._runs)

    def of(self, image: str) -> RunWish | None:
        """The last run of `image`, with or without its `latest`."""
        names = {image, f"{image}:latest", image.removesuffix(":latest")}
        return next((wish for wish in self._runs if wish.image in names), None)

    def add(self, wish: RunWish) -> None:
        safe = tuple((name, value) for name, value in wish.environment if not is_secret(name))
        wish = replace(wish, environment=safe, extra={})
        self._runs = [wish, *(w for w in self._runs if w.image != wish.image)][:KEPT]
        self._settings.setValue(KEY, json.dumps([asdict(w) for w in self._runs]))

    def _read(self) -> list[RunWish]:
        text = str(self._settings.value(KEY, "[]"))
        try:
            return [
                RunWish(
                    **{
                        **entry,
                        "ports": tuple(PortWish(**port) for port in entry.get("ports", ())),
                        "mounts": tuple(MountWish(**mount) for mount in entry.get("mounts", ())),
                        "environment": tuple((str(n), str(v)) for n, v in entry.get("environment", ())),
                    }
                )
                for entry in json.loads(text)
            ]
        except (ValueError, TypeError, AttributeError):
            return []  # settings of another version: discard them, the user can type the options again
