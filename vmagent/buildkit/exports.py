"""The exporters: what was built becomes an image of the store, goes to a registry, or is sent to the client.

`moby` and `image` name it in the store and push it; `docker` and `oci` send an archive, `tar` and `local` its files.
The attributes are those that buildx gives (docs of `docker buildx build --output`).
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from pathlib import Path
from typing import Any, Protocol

from vmagent.builder.indexing import Attest, StoredIndex
from vmagent.builder.packages import Contents
from vmagent.builder.request import InvalidBuild
from vmagent.builder.result import BuildResult, BuiltImage
from vmagent.buildkit import attesting, frontend
from vmagent.buildkit import messages as pb
from vmagent.buildkit.attachments import SessionCredentials
from vmagent.buildkit.caches import SessionCaches
from vmagent.buildkit.exportreport import ExportReport
from vmagent.buildkit.filesync import OnDisk, send_bytes, send_tree
from vmagent.buildkit.jobs import Job
from vmagent.buildkit.status import StatusLog
from vmagent.errors import EngineError
from vmagent.images.reference import Reference

_CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
_IMAGE_TYPES = ("moby", "image")
_ARCHIVE_TYPES = ("docker", "oci")


class Images(Protocol):
    """What exporting needs of the builder and of the image store."""

    async def store(self, image: BuiltImage, names: list[str]) -> str:
        """Make it an image of the store; its id. Raises EngineError."""

    async def store_index(self, images: Sequence[BuiltImage], names: list[str], attest: Attest | None) -> StoredIndex:
        """Make them one index of the store. Raises EngineError."""

    async def contents(self, image: BuiltImage) -> Contents:
        """The packages in the image. Raises EngineError."""

    def push(self, name: str, auth: Mapping[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        """Send the named image to its registry; the lines of the API's stream. Raises EngineError."""

    def archive(self, images: Sequence[BuiltImage], names: list[str]) -> AsyncGenerator[bytes, None]:
        """The image as a tar, for `docker load` and OCI tools; several ones with their index. Raises EngineError."""

    def files(self, images: Sequence[BuiltImage]) -> AbstractAsyncContextManager[Path]:
        """A folder with the image's files; of several ones, with a folder each. Raises EngineError."""

    def packed(self, folder: Path) -> AsyncGenerator[bytes, None]:
        """The folder as a tar. Raises EngineError."""


class SessionExports:
    """All exporters (`control.Exports`)."""

    def __init__(self, images: Images, caches: SessionCaches, on_disk: OnDisk) -> None:
        self._images, self._caches, self._on_disk = images, caches, on_disk

    async def export(self, job: Job, result: BuildResult) -> Mapping[str, str]:
        reply: dict[str, str] = {}
        for number, exporter in enumerate(exporters(job.request)):
            if exporter.Type in _IMAGE_TYPES:
                reply.update(await self._to_store(job, exporter, result))
            elif exporter.Type in _ARCHIVE_TYPES:
                reply.update(await self._as_archive(job, exporter, number, result))
            elif exporter.Type == "tar":
                await self._as_tar(job, number, result)
            elif exporter.Type == "local":
                await self._as_tree(job, number, result)
            else:
                raise InvalidBuild(f"exporter {exporter.Type!r} could not be found")
        reply.update(await self._caches.export(job, result))
        return reply

    async def _to_store(self, job: Job, exporter: pb.Exporter, result: BuildResult) -> Mapping[str, str]:
        names = names_of(exporter)
        report = ExportReport(job.status, "exporting to image")
        with report:
            attest = await self._attest(job, names, result, report)
            with report.step("exporting layers"):
                if len(result.images) > 1 or attest is not None:
                    index = await self._images.store_index(result.images, names, attest)
                    reply = _described(index.descriptor(), index.image_id, names)
                    said = f"exporting manifest list {index.digest}"
                else:
                    image_id = await self._images.store(result.images[0], names)
                    reply = _described({"mediaType": _CONFIG_TYPE, "digest": image_id, "size": 0}, image_id, names)
                    said = f"writing image {image_id}"
            with report.step(said):
                pass
            for name in names:
                with report.step(f"naming to {name}"):
                    pass
        # buildx leaves this to every engine whose worker has a snapshotter (its feature "Direct push"). The versions
        # before that feature push again by the Engine API, which finds all layers there.
        if frontend.is_true(exporter.Attrs.get("push", "")):
            if not names:
                raise InvalidBuild("tag is needed when pushing to registry")
            credentials = SessionCredentials(job.session)
            for name in names:
                digest = await self._push(job.status, name, await credentials.get(Reference.parse(name).domain))
                reply = {**reply, "containerimage.digest": digest or reply["containerimage.digest"]}
        return reply

    async def _attest(self, job: Job, names: list[str], result: BuildResult, report: ExportReport) -> Attest | None:
        """What makes the statements that the client asks for. Raises EngineError."""
        contents: dict[str, Contents] | None = None
        if frontend.wants_sbom(job.options):
            with report.step("listing the packages of the image"):
                contents = {image.platform: await self._images.contents(image) for image in result.images}
        return attesting.attest(job, names, result, contents)

    async def _push(self, status: StatusLog, name: str, auth: Mapping[str, Any]) -> str:
        """The digest that the registry now has under the name."""
        digest = ""
        report = ExportReport(status, f"pushing {name}")
        with report:
            async with aclosing(self._images.push(name, auth)) as lines:
                async for line in lines:
                    if "error" in line:
                        raise EngineError(f"failed to push {name}: {line['error']}")
                    if layer := line.get("id"):
                        report.push_line(layer, line)
                    digest = line.get("aux", {}).get("Digest", digest)
        return digest

    async def _as_archive(self, job: Job, exporter: pb.Exporter, number: int, result: BuildResult) -> Mapping[str, str]:
        if exporter.Attrs.get("tar", "") in ("false", "0"):
            raise InvalidBuild(f"the {exporter.Type} exporter writes a tar: tar=false is not supported")
        images = result.images if exporter.Type == "oci" else [_only(result, exporter)]
        names = names_of(exporter)
        kind = "docker image format" if exporter.Type == "docker" else "oci image format"
        report = ExportReport(job.status, f"exporting to {kind}")
        with report, report.step("sending tarball"):
            await send_bytes(job.session, self._images.archive(images, names), number, {})
        return {"image.name": ",".join(names)} if names else {}

    async def _as_tar(self, job: Job, number: int, result: BuildResult) -> None:
        report = ExportReport(job.status, "exporting to client tarball")
        with report, report.step("sending tarball"):
            async with self._images.files(result.images) as folder:
                await send_bytes(job.session, self._images.packed(folder), number, {})

    async def _as_tree(self, job: Job, number: int, result: BuildResult) -> None:
        report = ExportReport(job.status, "exporting to client directory")
        with report, report.step("copying files"):
            async with self._images.files(result.images) as folder:
                await send_tree(job.session, folder, number, self._on_disk)


def check(request: pb.SolveRequest, options: Mapping[str, str]) -> None:
    """Before a build with `options`. Raises InvalidBuild for an exporter that would leave out a part of it."""
    if frontend.provenance(options) is None and not frontend.wants_sbom(options):
        return
    for exporter in exporters(request):
        if exporter.Type not in _IMAGE_TYPES:
            raise InvalidBuild(
                f"the {exporter.Type} exporter keeps no attestations: leave out --provenance and --sbom, or use"
                " --load or --push"
            )


def exporters(request: pb.SolveRequest) -> list[pb.Exporter]:
    """Of a request by a new or an old client."""
    if request.Exporters or not request.ExporterDeprecated:
        return list(request.Exporters)
    return [pb.Exporter(Type=request.ExporterDeprecated, Attrs=request.ExporterAttrsDeprecated)]


def names_of(exporter: pb.Exporter) -> list[str]:
    """Full names with a tag, such as docker.io/library/a:latest. Raises BadRequest."""
    given = [name for name in exporter.Attrs.get("name", "").split(",") if name]
    return [Reference.parse(name).with_default_tag().key for name in given]


def _only(result: BuildResult, exporter: pb.Exporter) -> BuiltImage:
    if len(result.images) != 1:
        raise InvalidBuild(
            f"the {exporter.Type} exporter takes one platform, and {len(result.images)} were built: use --load, or"
            " --output with type=oci, tar or local"
        )
    return result.images[0]


def _described(descriptor: Mapping[str, Any], image_id: str, names: list[str]) -> Mapping[str, str]:
    """The reply's entries by BuildKit's keys (exporter/containerimage/exptypes)."""
    reply = {
        "containerimage.digest": str(descriptor["digest"]),
        "containerimage.config.digest": image_id,
        "containerimage.descriptor": base64.b64encode(json.dumps(descriptor).encode()).decode(),
    }
    return {**reply, "image.name": ",".join(names)} if names else reply
