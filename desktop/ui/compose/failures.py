"""Which build has failed, and at which line of its Dockerfile."""

from __future__ import annotations

from http import HTTPStatus

from desktop.client import builds
from desktop.client.builds import Build
from desktop.client.engine import ApiError, EngineClient


class FailedBuild:
    """Finds the first build that has failed since this was made. `id` is empty until then, and where the engine is not
    Cove's, which alone tells of builds."""

    def __init__(self, client: EngineClient) -> None:
        """Raises ApiError, ConnectionFailed."""
        self._client = client
        self._known = {build.id for build in self._listed()}
        self.id = ""

    def place(self) -> str:
        """` (Dockerfile:3)` for a message; empty if no build has failed, or at no line. Raises as the constructor."""
        failed = [one for one in self._listed() if one.id not in self._known and one.state == "failed"]
        if not failed:
            return ""
        self.id = min(failed, key=lambda one: one.started_s).id
        found = builds.failure(self._client, self.id)
        return f" ({found.file}:{found.first_line})" if found is not None else ""

    def _listed(self) -> list[Build]:
        try:
            return builds.listed(self._client)
        except ApiError as e:
            if e.status != HTTPStatus.NOT_FOUND:
                raise
            return []
