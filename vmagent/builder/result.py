"""What a build gives back. Its layers are in the image store until `release`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vmagent.builder.cache import CacheRecord

if TYPE_CHECKING:
    from vmagent.builder.definition import DefinedStep


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """The result for one platform; no image record exists before `Builder.store`."""

    platform: str  # `os/arch[/variant]`
    config: Mapping[str, Any]  # the OCI image config, with rootfs and history
    layers: tuple[str, ...]  # diff_ids, bottom first


@dataclass(frozen=True, slots=True)
class Material:
    """An image that a build has used. `digest`: of its index or manifest, "" if it came from no registry."""

    name: str  # as users know it, with its tag
    platform: str
    digest: str


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a build has fetched of a repository or a URL. `digests`: by algorithm, in hex."""

    uri: str
    digests: Mapping[str, str]


class BuildResult:
    """The images of a build, one per platform, the records of all steps that made layers for it, the images that it
    used, what its steps have fetched, and what the steps were."""

    def __init__(
        self,
        images: tuple[BuiltImage, ...],
        release: Callable[[], None],
        records: tuple[CacheRecord, ...] = (),
        materials: tuple[Material, ...] = (),
        fetched: tuple[Fetched, ...] = (),
        definition: tuple[DefinedStep, ...] = (),
    ) -> None:
        self.images = images
        self.records = records
        self.materials = materials
        self.fetched = fetched
        self.definition = definition
        self._release: Callable[[], None] | None = release

    def release(self) -> None:
        """Let the garbage collection of the image store take the layers that nothing else names. Idempotent."""
        if self._release is not None:
            self._release()
            self._release = None
