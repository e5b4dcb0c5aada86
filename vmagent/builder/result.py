"""What a build gives back. Its layers are in the image store until `release`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from vmagent.builder.cache import CacheRecord


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """The result for one platform; no image record exists before `Builder.store`."""

    platform: str  # `os/arch[/variant]`
    config: Mapping[str, Any]  # the OCI image config, with rootfs and history
    layers: tuple[str, ...]  # diff_ids, bottom first


class BuildResult:
    """The images of a build, one per platform, and the records of all steps that made layers for it."""

    def __init__(
        self, images: tuple[BuiltImage, ...], release: Callable[[], None], records: tuple[CacheRecord, ...] = ()
    ) -> None:
        self.images = images
        self.records = records
        self._release: Callable[[], None] | None = release

    def release(self) -> None:
        """Let the garbage collection of the image store take the layers that nothing else names. Idempotent."""
        if self._release is not None:
            self._release()
            self._release = None
