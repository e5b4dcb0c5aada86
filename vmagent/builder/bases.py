"""The images that a build uses: of FROM, COPY --from and RUN --mount. Found in the store or pulled, and held."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from vmagent.builder.reporting import Report
from vmagent.builder.request import BuildError, BuildRequest
from vmagent.builder.result import Material
from vmagent.errors import EngineError, NotFound
from vmagent.images.holds import Hold
from vmagent.images.imagestore import ImageStore
from vmagent.images.platforms import Platform
from vmagent.images.reference import Reference, registry_of
from vmagent.images.store import Image, Store


@dataclass(frozen=True, slots=True)
class UsedImage:
    """What an image's name meant for a platform."""

    name: str
    platform: str
    image_id: str


class Bases:
    """The images of one build. `release` lets go of them."""

    def __init__(self, store: Store, images: ImageStore, request: BuildRequest) -> None:
        self._store, self._images, self._request = store, images, request
        self._found: dict[tuple[str, str], asyncio.Task[Image]] = {}
        self._used: dict[tuple[str, str], UsedImage] = {}
        self._holds: list[Hold] = []

    async def get(self, name: str, platform: Platform, report: Report) -> Image:
        """The image `name`; asked for once in a build. Raises BuildError, EngineError."""
        key = (name, str(platform))
        if key not in self._found:
            self._found[key] = asyncio.create_task(self._get(name, platform, report), name=f"base {name}")
        return await asyncio.shield(self._found[key])

    async def describe(self, name: str, platform: Platform) -> Mapping[str, Any]:
        """The config of the image `name`; of one that is not here, nothing but that is fetched. Raises EngineError."""
        if (image := self._local(name, platform)) is not None:
            return dict(image.config)
        reference = Reference.parse(name).with_default_tag()
        auth = await self._auth(reference)
        return await self._images.remote_config(reference, platform, auth)

    async def _auth(self, reference: Reference) -> Mapping[str, Any]:
        credentials = self._request.credentials
        return await credentials.get(registry_of(reference.domain)) if credentials is not None else {}

    async def _get(self, name: str, platform: Platform, report: Report) -> Image:
        reference = Reference.parse(name).with_default_tag()
        if not self._request.pull and (image := self._local(name, platform)) is not None:
            return self._hold(name, platform, image)
        auth = await self._auth(reference)
        try:
            pulling = self._images.pull(reference.familiar, platform=str(platform), auth=auth)
            async with aclosing(pulling) as lines:
                async for line in lines:
                    report.pulled(line)
        except EngineError as e:
            if type(e) is EngineError:
                raise EngineError(f"{reference.familiar}: {e}") from e
            raise
        image = self._local(name, platform)
        if image is None:
            raise BuildError(f"{reference.familiar}: no image for platform {platform}")
        return self._hold(name, platform, image)

    def _local(self, name: str, platform: Platform) -> Image | None:
        try:
            image = self._store.resolve(name, platform)
        except NotFound:
            return None
        return image if Platform.from_json(image.config).suits(platform) else None

    def _hold(self, name: str, platform: Platform, image: Image) -> Image:
        self._holds.append(self._store.hold(image.id))
        self._note(UsedImage(name, str(platform), image.id))
        return image

    def _note(self, used: UsedImage) -> None:
        self._used[used.name, used.platform] = used

    def take(self, used: UsedImage) -> bool:
        """Count the image as one of this build, without holding it; False if the name means another one, or none."""
        image = self._local(used.name, Platform.parse(used.platform))
        if image is None or image.id != used.image_id:
            return False
        self._note(used)
        return True

    @property
    def used(self) -> tuple[UsedImage, ...]:
        """The images that were found, by name."""
        return tuple(used for _, used in sorted(self._used.items()))

    def materials(self) -> tuple[Material, ...]:
        """The images that were found, by name."""
        found = []
        for used in self.used:
            reference = Reference.parse(used.name).with_default_tag()
            pointer = self._store.references.get(reference.key)
            record = self._store.images.get(used.image_id)
            digest = pointer.index if pointer else ""
            found.append(Material(reference.familiar, used.platform, digest or (record and record.manifest) or ""))
        return tuple(found)

    async def release(self) -> None:
        """Let go of the images. A pull that is still running is cancelled."""
        tasks = [*self._found.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for hold in self._holds:
            hold.release()
        self._holds.clear()
