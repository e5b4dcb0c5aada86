"""Images in OCI layouts of the client, as named contexts: `--build-context NAME=oci-layout://FOLDER`."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from vmagent.builder.request import InvalidBuild, LoadedImage
from vmagent.buildkit.content import SessionContent
from vmagent.errors import EngineError
from vmagent.images import config as image_config
from vmagent.images.faults import ImageFault
from vmagent.images.layer import Expected
from vmagent.images.manifests import descriptor, document, objects
from vmagent.images.platforms import Platform, choose

_MAX_SMALL = 32 << 20  # bytes of an index, manifest or config
_SOURCE = re.compile(r"//([^@]+)@(sha256:[0-9a-f]{64})")
Read = Callable[[str], AsyncIterator[bytes]]
TakeLayers = Callable[[Sequence[tuple[Expected, str]], Read], Awaitable[None]]


def store_and_digest(source: str) -> tuple[str, str]:
    """Of `//STORE@sha256:…`, which buildx makes of a folder and a tag. Raises InvalidBuild."""
    found = _SOURCE.fullmatch(source)
    if found is None:
        raise InvalidBuild(f"oci-layout:{source}: a reference with a digest is needed")
    return found[1].partition(":")[0], found[2]


async def load(content: SessionContent, digest: str, platform: Platform, take: TakeLayers) -> LoadedImage:
    """The image; `take` brings the layers that the store lacks. Raises EngineError."""
    try:
        manifest = await _document(content, digest)
        if listed := objects(manifest, "manifests"):
            chosen = descriptor(choose(listed, platform), "an entry of the index")
            manifest = await _document(content, chosen.digest)
        named = descriptor(manifest.get("config"), "the config")
        config = image_config.parse(await content.read_small(named.digest, _MAX_SMALL))
        blobs = [descriptor(layer, "a layer") for layer in objects(manifest, "layers")]
        diff_ids = image_config.diff_ids(config)
    except ImageFault as e:
        raise EngineError(str(e)) from e
    if len(blobs) != len(diff_ids):
        raise EngineError(f"invalid image: {len(blobs)} layers for {len(diff_ids)} diff_ids")
    await take(list(zip(blobs, diff_ids, strict=True)), content.read)
    return LoadedImage(config, tuple(diff_ids))


async def _document(content: SessionContent, digest: str) -> dict[str, Any]:
    return document(await content.read_small(digest, _MAX_SMALL), "manifest")
